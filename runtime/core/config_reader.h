#pragma once
// One tree for JSON and YAML files, read with types, defaults and ranges. Every getter names the
// file and the key path when something is wrong; finish() makes unknown keys an error, so that a
// misspelt key is never silently a default.
//
//   auto config = core::ConfigReader::load_file("config.json", {"lm.layers=4"});
//   const auto lm = config.sub("lm");
//   const int64_t layers = lm.get_int("layers", core::IntRange{1, 200});      // required, in range
//   const double theta = lm.get_double("rope_theta", 10000.0);                // optional
//   config.finish();
//
// A key whose value is null counts as absent. YAML: the core schema (`yes` is a string, 1e-5 a
// number); a plain scalar that looks like a number can still be read as a string. Duplicate keys
// are errors in both formats.

#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace duet::core {

struct IntRange {  ///< Both ends allowed.
  int64_t min = std::numeric_limits<int64_t>::min();
  int64_t max = std::numeric_limits<int64_t>::max();
};

struct DoubleRange {  ///< Both ends allowed; NaN and infinity never are.
  double min = std::numeric_limits<double>::lowest();
  double max = std::numeric_limits<double>::max();
};

/// A view of one node of the tree; cheap to copy, all copies share the tree and its record of what
/// was read. Getters throw ConfigError. Not thread-safe.
class ConfigReader {
 public:
  enum class Kind { kNull, kBool, kInt, kDouble, kString, kList, kMap };

  /// Reads a file: JSON when its name ends in .json or its text starts with '{', YAML otherwise.
  /// The top must be a map. `overrides`: see override_with(). Throws LoadError when the file cannot
  /// be read or parsed (with the line).
  static ConfigReader load_file(const std::string& path,
                                const std::vector<std::string>& overrides = {});

  /// The same from text; `name` stands for the file in errors.
  static ConfigReader parse(std::string_view text, const std::string& name);

  /// Applies "key.path=value" (value in YAML: `4`, `true`, `[1, 2]`, `text`, `null`); creates
  /// missing maps; a number in the path indexes an existing list. Throws ConfigError on anything
  /// else.
  void override_with(const std::string& assignment);

  // Required values: absent (or null) is an error.
  int64_t get_int(std::string_view key, IntRange range = {}) const;
  double get_double(std::string_view key, DoubleRange range = {}) const;  ///< integers are accepted
  bool get_bool(std::string_view key) const;
  std::string get_string(std::string_view key) const;
  /// One of `allowed`, or an error that lists them.
  std::string get_choice(std::string_view key, const std::vector<std::string>& allowed) const;
  std::vector<int64_t> get_int_list(std::string_view key) const;
  std::vector<double> get_double_list(std::string_view key) const;
  std::vector<std::string> get_string_list(std::string_view key) const;
  /// A list of integer lists; a plain integer list is taken as the only element ([70, 1] is [[70,
  /// 1]]).
  std::vector<std::vector<int64_t>> get_int_lists(std::string_view key, IntRange range = {}) const;

  // The same with a default for an absent key. The default is not checked against the range.
  int64_t get_int(std::string_view key, int64_t fallback, IntRange range = {}) const;
  double get_double(std::string_view key, double fallback, DoubleRange range = {}) const;
  bool get_bool(std::string_view key, bool fallback) const;
  std::string get_string(std::string_view key, std::string_view fallback) const;
  std::string get_choice(std::string_view key, std::string_view fallback,
                         const std::vector<std::string>& allowed) const;
  std::vector<int64_t> get_int_list(std::string_view key, std::vector<int64_t> fallback,
                                    IntRange range = {}) const;
  std::vector<double> get_double_list(std::string_view key, std::vector<double> fallback,
                                      DoubleRange range = {}) const;
  std::vector<std::string> get_string_list(std::string_view key,
                                           std::vector<std::string> fallback) const;

  /// True when the key is there and not null. Counts as known, and as read when it is null.
  bool has(std::string_view key) const;
  Kind kind(std::string_view key) const;  ///< kNull when absent
  std::vector<std::string> keys()
      const;  ///< of this map, in file order; does not mark them as read

  /// The map under `key`. Absent: an error; sub_or_empty gives an empty map instead (all defaults).
  ConfigReader sub(std::string_view key) const;
  ConfigReader sub_or_empty(std::string_view key) const;
  /// The list of maps under `key`; empty when absent.
  std::vector<ConfigReader> sub_list(std::string_view key) const;

  /// Accepts keys (with all below them) without reading them; ignore_rest() all not yet read keys
  /// of this map.
  void ignore(const std::vector<std::string>& keys) const;
  void ignore_rest() const;

  /// Throws one ConfigError that lists every key below this node that nobody asked for, each with
  /// the nearest known key as a hint.
  void finish() const;

  /// A ConfigError about `key` of this map, for checks the getters cannot make.
  [[noreturn]] void fail(std::string_view key, const std::string& expected,
                         const std::string& found, const std::string& hint = "") const;

  std::string to_json(int indent = 2) const;  ///< This node and all below it, overrides included.
  const std::string& file() const;
  const std::string& path() const { return path_; }  ///< "perception.encoder", "" at the top

 private:
  struct Node;
  struct Tree;
  ConfigReader(std::shared_ptr<Tree> tree, Node* node, std::string path);
  Node* find(std::string_view key) const;
  Node& require(std::string_view key, const char* expected) const;
  std::string path_of(std::string_view key) const;
  [[noreturn]] void wrong(std::string_view key, const Node& node,
                          const std::string& expected) const;

  int64_t int_of(std::string_view key, const Node& node, IntRange range) const;
  double double_of(std::string_view key, const Node& node, DoubleRange range) const;
  std::string string_of(std::string_view key, const Node& node) const;
  template <typename T, typename Convert>
  std::vector<T> list_of(std::string_view key, const Node& node, const std::string& expected,
                         Convert convert) const;

  std::shared_ptr<Tree> tree_;
  Node* node_;
  std::string path_;
};

}  // namespace duet::core
