#include "runtime/core/config_reader.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <sstream>
#include <system_error>

#include <yaml-cpp/yaml.h>

#include "runtime/core/error.h"

namespace duet::core {

struct ConfigReader::Node {
  Kind kind = Kind::kNull;
  bool boolean = false;
  int64_t integer = 0;
  double real = 0.0;
  std::string text;            // strings; for YAML scalars the source text
  bool is_plain_yaml = false;  // may be read as a string whatever it looks like
  std::vector<std::pair<std::string, std::unique_ptr<Node>>> items;  // lists: empty keys
  int line = 0;                                                      // 1-based; 0 unknown

  bool was_read = false;        // of a leaf or list: a getter took it
  bool is_ignored = false;      // with all below
  std::set<std::string> known;  // of a map: keys somebody asked for

  Node* child(std::string_view key) {
    for (auto& [name, value] : items)
      if (name == key) return value.get();
    return nullptr;
  }
};

struct ConfigReader::Tree {
  std::string file;
  std::unique_ptr<Node> root;
  std::vector<std::unique_ptr<Node>> spare;  // empty maps handed out by sub_or_empty
};

namespace {

using Kind = ConfigReader::Kind;
constexpr int kMaxDepth = 64;             // deeper files are not configurations
constexpr int64_t kMaxNodes = 2'000'000;  // stops YAML alias bombs

std::optional<int64_t> parse_int(std::string_view text) {
  if (text.starts_with('+')) text.remove_prefix(1);
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || text.empty()) return std::nullopt;
  return value;
}

std::optional<double> parse_double(std::string_view text) {
  if (text.starts_with('+')) text.remove_prefix(1);
  if (text.empty() || text.find_first_not_of("0123456789.eE+-") != std::string_view::npos)
    return std::nullopt;
  double value = 0.0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

[[noreturn]] void throw_parse(const std::string& file, const std::string& found) {
  throw LoadError({.subject = "configuration",
                   .expected = "JSON or YAML",
                   .found = found,
                   .file = file,
                   .hint = {}});
}

// The library's own text starts with "[json.exception.parse_error.101] "; a reader wants what
// follows.
std::string without_tag(const std::string& text) {
  const size_t end = text.find("] ");
  return text.starts_with("[json.") && end != std::string::npos ? text.substr(end + 2) : text;
}

const char* kind_name(Kind kind) {
  switch (kind) {
    case Kind::kNull: return "nothing";
    case Kind::kBool: return "a boolean";
    case Kind::kInt: return "an integer";
    case Kind::kDouble: return "a number";
    case Kind::kString: return "a string";
    case Kind::kList: return "a list";
    case Kind::kMap: return "a map";
  }
  return "?";
}

std::string number_text(double value) {
  std::ostringstream out;
  out << value;
  return out.str();
}

std::string range_text(const char* what, const std::string& min, const std::string& max,
                       bool has_min, bool has_max) {
  if (has_min && has_max) return std::string(what) + " in [" + min + ", " + max + "]";
  if (has_min) return std::string(what) + " >= " + min;
  if (has_max) return std::string(what) + " <= " + max;
  return what;
}

std::string expected_text(IntRange range) {
  return range_text("an integer", std::to_string(range.min), std::to_string(range.max),
                    range.min != IntRange{}.min, range.max != IntRange{}.max);
}

std::string expected_text(DoubleRange range) {
  return range_text("a number", number_text(range.min), number_text(range.max),
                    range.min != DoubleRange{}.min, range.max != DoubleRange{}.max);
}

// Optimal string alignment distance: insert, delete, replace, swap neighbours.
size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::vector<size_t>> d(a.size() + 1, std::vector<size_t>(b.size() + 1));
  for (size_t i = 0; i <= a.size(); ++i) d[i][0] = i;
  for (size_t j = 0; j <= b.size(); ++j) d[0][j] = j;
  for (size_t i = 1; i <= a.size(); ++i)
    for (size_t j = 1; j <= b.size(); ++j) {
      d[i][j] = std::min(
          {d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1)});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
    }
  return d[a.size()][b.size()];
}

std::string nearest(const std::string& key, const std::set<std::string>& known) {
  std::string best;
  size_t best_distance = std::max<size_t>(2, key.size() / 3) + 1;
  for (const std::string& name : known) {
    const size_t distance = edit_distance(key, name);
    if (distance < best_distance) {
      best_distance = distance;
      best = name;
    }
  }
  return best;
}

// The builders below work on Node through a template because Node is private to the reader.
template <typename N>
std::unique_ptr<N> from_json(const nlohmann::ordered_json& json, int depth,
                             const std::string& file) {
  if (depth > kMaxDepth) throw_parse(file, "more than 64 levels");
  auto node = std::make_unique<N>();
  switch (json.type()) {
    case nlohmann::ordered_json::value_t::boolean:
      node->kind = Kind::kBool;
      node->boolean = json.get<bool>();
      break;
    case nlohmann::ordered_json::value_t::number_integer:
    case nlohmann::ordered_json::value_t::number_unsigned:
      if (json.is_number_unsigned() && json.get<uint64_t>() > static_cast<uint64_t>(INT64_MAX)) {
        node->kind = Kind::kDouble;
        node->real = json.get<double>();
      } else {
        node->kind = Kind::kInt;
        node->integer = json.get<int64_t>();
      }
      break;
    case nlohmann::ordered_json::value_t::number_float:
      node->kind = Kind::kDouble;
      node->real = json.get<double>();
      break;
    case nlohmann::ordered_json::value_t::string:
      node->kind = Kind::kString;
      node->text = json.get<std::string>();
      break;
    case nlohmann::ordered_json::value_t::array:
      node->kind = Kind::kList;
      for (const auto& item : json)
        node->items.emplace_back("", from_json<N>(item, depth + 1, file));
      break;
    case nlohmann::ordered_json::value_t::object:
      node->kind = Kind::kMap;
      for (const auto& [key, value] : json.items())
        node->items.emplace_back(key, from_json<N>(value, depth + 1, file));
      break;
    default: break;
  }
  return node;
}

template <typename N>
std::unique_ptr<N> parse_json(std::string_view text, const std::string& file) {
  using Json = nlohmann::ordered_json;
  std::vector<std::set<std::string>> open;  // the keys of every object being read
  const Json::parser_callback_t watch = [&](int, Json::parse_event_t event, Json& parsed) {
    if (event == Json::parse_event_t::object_start) open.emplace_back();
    if (event == Json::parse_event_t::object_end && !open.empty()) open.pop_back();
    if (event == Json::parse_event_t::key && !open.empty() &&
        !open.back().insert(parsed.get_ref<const std::string&>()).second)
      throw_parse(file, "key \"" + parsed.get<std::string>() + "\" twice in one object");
    return true;
  };
  try {
    return from_json<N>(Json::parse(text, watch), 0, file);
  } catch (const Json::exception& error) {
    throw_parse(file, without_tag(error.what()));
  }
}

template <typename N>
void fill_scalar(N& node, const std::string& text, bool is_plain) {
  node.text = text;
  node.is_plain_yaml = is_plain;
  node.kind = Kind::kString;
  if (!is_plain) return;
  if (text.empty() || text == "~" || text == "null" || text == "Null" || text == "NULL") {
    node.kind = Kind::kNull;
  } else if (text == "true" || text == "True" || text == "TRUE" || text == "false" ||
             text == "False" || text == "FALSE") {
    node.kind = Kind::kBool;
    node.boolean = text[0] == 't' || text[0] == 'T';
  } else if (const auto integer = parse_int(text)) {
    node.kind = Kind::kInt;
    node.integer = *integer;
  } else if (const auto real = parse_double(text)) {
    node.kind = Kind::kDouble;
    node.real = *real;
  }
}

template <typename N>
std::unique_ptr<N> from_yaml(const YAML::Node& yaml, int depth, int64_t& budget,
                             const std::string& file) {
  if (depth > kMaxDepth) throw_parse(file, "more than 64 levels");
  if (--budget < 0) throw_parse(file, "more than two million values");
  auto node = std::make_unique<N>();
  node->line = yaml.Mark().line + 1;
  if (yaml.IsScalar()) {
    fill_scalar(*node, yaml.Scalar(), yaml.Tag() == "?" || yaml.Tag().empty());
  } else if (yaml.IsSequence()) {
    node->kind = Kind::kList;
    for (const auto& item : yaml)
      node->items.emplace_back("", from_yaml<N>(item, depth + 1, budget, file));
  } else if (yaml.IsMap()) {
    node->kind = Kind::kMap;
    for (const auto& entry : yaml) {
      if (!entry.first.IsScalar()) throw_parse(file, "a key that is no scalar");
      if (node->child(entry.first.Scalar()) != nullptr)
        throw_parse(file + ":" + std::to_string(entry.first.Mark().line + 1),
                    "key \"" + entry.first.Scalar() + "\" twice in one map");
      node->items.emplace_back(entry.first.Scalar(),
                               from_yaml<N>(entry.second, depth + 1, budget, file));
    }
  }
  return node;
}

template <typename N>
std::unique_ptr<N> parse_yaml(const std::string& text, const std::string& file) {
  try {
    const std::vector<YAML::Node> documents = YAML::LoadAll(text);
    if (documents.size() > 1)
      throw_parse(file, std::to_string(documents.size()) + " YAML documents");
    int64_t budget = kMaxNodes;
    return documents.empty() ? std::make_unique<N>()
                             : from_yaml<N>(documents.front(), 0, budget, file);
  } catch (const YAML::Exception& error) {
    throw_parse(error.mark.is_null() ? file : file + ":" + std::to_string(error.mark.line + 1),
                error.msg);
  }
}

template <typename N>
std::string shown(const N& node) {
  switch (node.kind) {
    case Kind::kBool: return node.boolean ? "true" : "false";
    case Kind::kInt: return std::to_string(node.integer);
    case Kind::kDouble: return number_text(node.real);
    case Kind::kString:
      return "\"" + (node.text.size() > 60 ? node.text.substr(0, 57) + "..." : node.text) + "\"";
    default: return kind_name(node.kind);
  }
}

template <typename N>
nlohmann::ordered_json json_of(const N& node) {
  switch (node.kind) {
    case Kind::kNull: return nullptr;
    case Kind::kBool: return node.boolean;
    case Kind::kInt: return node.integer;
    case Kind::kDouble: return node.real;
    case Kind::kString: return node.text;
    case Kind::kList: {
      auto list = nlohmann::ordered_json::array();
      for (const auto& item : node.items) list.push_back(json_of(*item.second));
      return list;
    }
    case Kind::kMap: {
      auto map = nlohmann::ordered_json::object();
      for (const auto& [key, value] : node.items) map[key] = json_of(*value);
      return map;
    }
  }
  return nullptr;
}

template <typename N>
void collect_unknown(const N& node, const std::string& path, std::vector<std::string>& unknown) {
  if (node.is_ignored || node.was_read) return;
  for (size_t i = 0; i < node.items.size(); ++i) {
    const auto& [key, child] = node.items[i];
    const bool is_map = node.kind == Kind::kMap;
    const std::string name = is_map ? key : std::to_string(i);
    const std::string child_path = path.empty() ? name : path + "." + name;
    if (is_map && !child->is_ignored && !node.known.count(key)) {
      const std::string hint = nearest(key, node.known);
      unknown.push_back(child_path + (hint.empty() ? "" : " (did you mean " + hint + "?)"));
    } else {
      collect_unknown(*child, child_path, unknown);
    }
  }
}

}  // namespace

ConfigReader::ConfigReader(std::shared_ptr<Tree> tree, Node* node, std::string path)
    : tree_(std::move(tree)), node_(node), path_(std::move(path)) {}

ConfigReader ConfigReader::parse(std::string_view text, const std::string& name) {
  auto tree = std::make_shared<Tree>();
  tree->file = name;
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  const size_t first = text.find_first_not_of(" \t\r\n");
  const bool is_json =
      name.ends_with(".json") || (first != std::string_view::npos && text[first] == '{');
  // A YAML flow map also starts with '{'; only files that are not named .json get the second
  // chance.
  if (is_json && !name.ends_with(".yaml") && !name.ends_with(".yml"))
    tree->root = parse_json<Node>(text, name);
  else
    tree->root = parse_yaml<Node>(std::string(text), name);
  if (tree->root->kind == Kind::kNull)
    tree->root->kind = Kind::kMap;  // an empty file: all defaults
  if (tree->root->kind != Kind::kMap)
    throw LoadError({.subject = "configuration",
                     .expected = "a map at the top",
                     .found = shown(*tree->root),
                     .file = name,
                     .hint = {}});
  Node* root = tree->root.get();
  return {std::move(tree), root, ""};
}

ConfigReader ConfigReader::load_file(const std::string& path,
                                     const std::vector<std::string>& overrides) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream text;
  if (in) text << in.rdbuf();
  if (!in || in.bad())
    throw LoadError({.subject = "configuration",
                     .expected = "a readable file",
                     .found = "none",
                     .file = path,
                     .hint = {}});
  ConfigReader reader = parse(text.str(), path);
  for (const std::string& assignment : overrides) reader.override_with(assignment);
  return reader;
}

void ConfigReader::override_with(const std::string& assignment) {
  const auto bad = [&](const std::string& expected, const std::string& found) {
    throw ConfigError({.subject = "--set " + assignment,
                       .expected = expected,
                       .found = found,
                       .file = tree_->file,
                       .hint = {}});
  };
  const size_t equals = assignment.find('=');
  if (equals == std::string::npos || equals == 0) bad("key.path=value", "\"" + assignment + "\"");
  std::unique_ptr<Node> value;
  try {
    value = parse_yaml<Node>(assignment.substr(equals + 1), tree_->file);
  } catch (const LoadError& error) {
    bad("a YAML value", error.detail().found);
  }
  value->line = 0;
  Node* node = node_;
  std::stringstream path(assignment.substr(0, equals));
  std::vector<std::string> parts;
  for (std::string part; std::getline(path, part, '.');) parts.push_back(part);
  for (size_t i = 0; i < parts.size(); ++i) {
    const bool is_last = i + 1 == parts.size();
    if (parts[i].empty()) bad("key.path=value", "an empty key");
    if (node->kind == Kind::kNull) node->kind = Kind::kMap;
    if (node->kind == Kind::kList) {
      const auto index = parse_int(parts[i]);
      if (!index || *index < 0 || *index >= static_cast<int64_t>(node->items.size()))
        bad("an index below " + std::to_string(node->items.size()), parts[i]);
      auto& slot = node->items[static_cast<size_t>(*index)].second;
      if (is_last) slot = std::move(value);
      node = slot.get();
      continue;
    }
    if (node->kind != Kind::kMap) bad("a map above " + parts[i], shown(*node));
    Node* next = node->child(parts[i]);
    if (next == nullptr)
      next = node->items.emplace_back(parts[i], std::make_unique<Node>()).second.get();
    if (is_last) *next = std::move(*value);
    node = next;
  }
}

const std::string& ConfigReader::file() const { return tree_->file; }

std::string ConfigReader::to_json(int indent) const { return json_of(*node_).dump(indent); }

std::string ConfigReader::path_of(std::string_view key) const {
  return path_.empty() || key.empty() ? path_ + std::string(key) : path_ + "." + std::string(key);
}

ConfigReader::Node* ConfigReader::find(std::string_view key) const {
  node_->known.emplace(key);
  Node* found = node_->child(key);
  if (found != nullptr) found->was_read = found->was_read || found->kind == Kind::kNull;
  return found == nullptr || found->kind == Kind::kNull ? nullptr : found;
}

ConfigReader::Node& ConfigReader::require(std::string_view key, const char* expected) const {
  Node* found = find(key);
  if (found == nullptr) fail(key, expected, "nothing");
  return *found;
}

void ConfigReader::fail(std::string_view key, const std::string& expected, const std::string& found,
                        const std::string& hint) const {
  Node* node = node_->child(key);
  const int line = node != nullptr ? node->line : 0;
  throw ConfigError({.subject = path_of(key),
                     .expected = expected,
                     .found = found,
                     .file = line > 0 ? tree_->file + ":" + std::to_string(line) : tree_->file,
                     .hint = hint});
}

void ConfigReader::wrong(std::string_view key, const Node& node,
                         const std::string& expected) const {
  fail(key, expected, shown(node));
}

int64_t ConfigReader::int_of(std::string_view key, const Node& node, IntRange range) const {
  if (node.kind != Kind::kInt || node.integer < range.min || node.integer > range.max)
    wrong(key, node, expected_text(range));
  return node.integer;
}

double ConfigReader::double_of(std::string_view key, const Node& node, DoubleRange range) const {
  const double value = node.kind == Kind::kInt ? static_cast<double>(node.integer) : node.real;
  const bool is_number = node.kind == Kind::kInt || node.kind == Kind::kDouble;
  if (!is_number || !std::isfinite(value) || value < range.min || value > range.max)
    wrong(key, node, expected_text(range));
  return value;
}

std::string ConfigReader::string_of(std::string_view key, const Node& node) const {
  if (node.kind != Kind::kString && !node.is_plain_yaml) wrong(key, node, "a string");
  return node.text;
}

template <typename T, typename Convert>
std::vector<T> ConfigReader::list_of(std::string_view key, const Node& node,
                                     const std::string& expected, Convert convert) const {
  if (node.kind != Kind::kList) wrong(key, node, expected);
  std::vector<T> out;
  for (size_t i = 0; i < node.items.size(); ++i)
    out.push_back(convert(std::string(key) + "." + std::to_string(i), *node.items[i].second));
  return out;
}

int64_t ConfigReader::get_int(std::string_view key, IntRange range) const {
  Node& node = require(key, "an integer");
  node.was_read = true;
  return int_of(key, node, range);
}

double ConfigReader::get_double(std::string_view key, DoubleRange range) const {
  Node& node = require(key, "a number");
  node.was_read = true;
  return double_of(key, node, range);
}

bool ConfigReader::get_bool(std::string_view key) const {
  Node& node = require(key, "true or false");
  node.was_read = true;
  if (node.kind != Kind::kBool) wrong(key, node, "true or false");
  return node.boolean;
}

std::string ConfigReader::get_string(std::string_view key) const {
  Node& node = require(key, "a string");
  node.was_read = true;
  return string_of(key, node);
}

std::string ConfigReader::get_choice(std::string_view key,
                                     const std::vector<std::string>& allowed) const {
  std::string list;
  for (const std::string& choice : allowed) list += (list.empty() ? "" : " | ") + choice;
  if (find(key) == nullptr) fail(key, list, "nothing");
  std::string value = get_string(key);
  if (std::find(allowed.begin(), allowed.end(), value) == allowed.end())
    fail(key, list, "\"" + value + "\"");
  return value;
}

std::vector<int64_t> ConfigReader::get_int_list(std::string_view key) const {
  require(key, "a list of integers");
  return get_int_list(key, {}, {});
}

std::vector<double> ConfigReader::get_double_list(std::string_view key) const {
  require(key, "a list of numbers");
  return get_double_list(key, {}, {});
}

std::vector<std::string> ConfigReader::get_string_list(std::string_view key) const {
  Node& node = require(key, "a list of strings");
  node.was_read = true;
  return list_of<std::string>(
      key, node, "a list of strings",
      [&](const std::string& item, const Node& value) { return string_of(item, value); });
}

std::vector<std::vector<int64_t>> ConfigReader::get_int_lists(std::string_view key,
                                                              IntRange range) const {
  Node& node = require(key, "a list of integer lists");
  if (node.kind == Kind::kList && !node.items.empty() &&
      node.items.front().second->kind != Kind::kList)
    return {get_int_list(key, {}, range)};
  node.was_read = true;
  return list_of<std::vector<int64_t>>(
      key, node, "a list of integer lists", [&](const std::string& item, const Node& inner) {
        return list_of<int64_t>(
            item, inner, "a list of integers",
            [&](const std::string& leaf, const Node& value) { return int_of(leaf, value, range); });
      });
}

int64_t ConfigReader::get_int(std::string_view key, int64_t fallback, IntRange range) const {
  return find(key) == nullptr ? fallback : get_int(key, range);
}
double ConfigReader::get_double(std::string_view key, double fallback, DoubleRange range) const {
  return find(key) == nullptr ? fallback : get_double(key, range);
}
bool ConfigReader::get_bool(std::string_view key, bool fallback) const {
  return find(key) == nullptr ? fallback : get_bool(key);
}
std::string ConfigReader::get_string(std::string_view key, std::string_view fallback) const {
  return find(key) == nullptr ? std::string(fallback) : get_string(key);
}
std::string ConfigReader::get_choice(std::string_view key, std::string_view fallback,
                                     const std::vector<std::string>& allowed) const {
  return find(key) == nullptr ? std::string(fallback) : get_choice(key, allowed);
}
std::vector<int64_t> ConfigReader::get_int_list(std::string_view key, std::vector<int64_t> fallback,
                                                IntRange range) const {
  Node* node = find(key);
  if (node == nullptr) return fallback;
  node->was_read = true;
  return list_of<int64_t>(
      key, *node, "a list of integers",
      [&](const std::string& item, const Node& value) { return int_of(item, value, range); });
}
std::vector<double> ConfigReader::get_double_list(std::string_view key,
                                                  std::vector<double> fallback,
                                                  DoubleRange range) const {
  Node* node = find(key);
  if (node == nullptr) return fallback;
  node->was_read = true;
  return list_of<double>(
      key, *node, "a list of numbers",
      [&](const std::string& item, const Node& value) { return double_of(item, value, range); });
}
std::vector<std::string> ConfigReader::get_string_list(std::string_view key,
                                                       std::vector<std::string> fallback) const {
  return find(key) == nullptr ? std::move(fallback) : get_string_list(key);
}

bool ConfigReader::has(std::string_view key) const { return find(key) != nullptr; }

ConfigReader::Kind ConfigReader::kind(std::string_view key) const {
  const Node* found = find(key);
  return found == nullptr ? Kind::kNull : found->kind;
}

std::vector<std::string> ConfigReader::keys() const {
  std::vector<std::string> out;
  for (const auto& item : node_->items) out.push_back(item.first);
  return out;
}

ConfigReader ConfigReader::sub(std::string_view key) const {
  Node& node = require(key, "a map");
  if (node.kind != Kind::kMap) wrong(key, node, "a map");
  return {tree_, &node, path_of(key)};
}

ConfigReader ConfigReader::sub_or_empty(std::string_view key) const {
  if (find(key) != nullptr) return sub(key);
  Node* empty = tree_->spare.emplace_back(std::make_unique<Node>()).get();
  empty->kind = Kind::kMap;
  return {tree_, empty, path_of(key)};
}

std::vector<ConfigReader> ConfigReader::sub_list(std::string_view key) const {
  std::vector<ConfigReader> out;
  Node* node = find(key);
  if (node == nullptr) return out;
  if (node->kind != Kind::kList) wrong(key, *node, "a list of maps");
  for (size_t i = 0; i < node->items.size(); ++i) {
    const std::string item = std::string(key) + "." + std::to_string(i);
    if (node->items[i].second->kind != Kind::kMap) wrong(item, *node->items[i].second, "a map");
    out.push_back(ConfigReader{tree_, node->items[i].second.get(), path_of(item)});
  }
  return out;
}

void ConfigReader::ignore(const std::vector<std::string>& keys) const {
  for (const std::string& key : keys) {
    node_->known.insert(key);
    if (Node* found = node_->child(key)) found->is_ignored = true;
  }
}

void ConfigReader::ignore_rest() const {
  for (auto& [key, child] : node_->items)
    if (!node_->known.count(key)) child->is_ignored = true;
}

void ConfigReader::finish() const {
  std::vector<std::string> unknown;
  collect_unknown(*node_, path_, unknown);
  if (unknown.empty()) return;
  std::string list;
  for (const std::string& entry : unknown) list += (list.empty() ? "" : ", ") + entry;
  throw ConfigError({.subject = unknown.size() == 1 ? "unknown key" : "unknown keys",
                     .expected = {},
                     .found = list,
                     .file = tree_->file,
                     .hint = {}});
}

}  // namespace duet::core
