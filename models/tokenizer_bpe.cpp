#include "models/tokenizer_bpe.h"

#include <algorithm>
#include <array>
#include <map>
#include <nlohmann/json.hpp>
#include <queue>
#include <unordered_map>

#include "models/utf8.h"
#include "runtime/core/error.h"

namespace duet::models {
namespace {

using Json = nlohmann::json;
const std::string kSpaceMark = "\xE2\x96\x81";  // U+2581

enum class Prepend { kNever, kFirst, kAlways };

struct Merge {
  int64_t rank, result;
};

struct AddedToken {
  std::string content;
  int64_t id;
  bool is_special, strips_left, strips_right;
};

struct Piece {
  std::string text;
  bool is_first;  // at the very start of the whole text
};

std::vector<std::string_view> characters(std::string_view text) {
  std::vector<std::string_view> out;
  while (!text.empty()) {
    const size_t size = next_utf8(text).num_bytes;
    out.push_back(text.substr(0, size));
    text.remove_prefix(size);
  }
  return out;
}

std::string replace_all(std::string text, const std::string& from, const std::string& to) {
  for (size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size())
    text.replace(at, from.size(), to);
  return text;
}

// GPT-2's table: printable Latin-1 bytes stand for themselves, the 68 others for U+0100 onwards, in
// order.
struct ByteAlphabet {
  std::array<std::string, 256> text;
  std::map<char32_t, char> byte;
  ByteAlphabet() {
    char32_t next = 0x100;
    for (int i = 0; i < 256; ++i) {
      const bool is_printable = (i >= 0x21 && i <= 0x7e) || (i >= 0xa1 && i <= 0xac) || i >= 0xae;
      const char32_t point = is_printable ? static_cast<char32_t>(i) : next++;
      text[static_cast<size_t>(i)] = utf8_of(point);
      byte[point] = static_cast<char>(i);
    }
  }
};

const ByteAlphabet& byte_alphabet() {
  static const ByteAlphabet alphabet;
  return alphabet;
}

// 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
std::vector<std::string> split_as_gpt2(const std::string& text) {
  std::vector<std::string_view> chars = characters(text);
  std::vector<char32_t> points;
  for (const std::string_view c : chars) points.push_back(next_utf8(c).point);
  const size_t n = points.size();
  const auto kind = [&](size_t i) {
    if (is_white_space(points[i])) return 's';
    return is_letter(points[i]) ? 'l' : is_number(points[i]) ? 'n' : 'o';
  };
  const auto contraction = [&](size_t i) -> size_t {
    if (points[i] != '\'' || i + 1 >= n) return 0;
    const char32_t a = points[i + 1], b = i + 2 < n ? points[i + 2] : 0;
    if (a == 's' || a == 't' || a == 'm' || a == 'd') return 2;
    return (a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l') ? 3 : 0;
  };
  std::vector<std::string> out;
  for (size_t i = 0; i < n;) {
    size_t end = i + contraction(i);
    if (end == i) {
      const size_t body = points[i] == ' ' && i + 1 < n && kind(i + 1) != 's' ? i + 1 : i;
      const char wanted = kind(body);
      for (end = body; end < n && kind(end) == wanted;) ++end;
      // \s+(?!\S): of white space before a word the last character is left to the word, if there is
      // more than one.
      if (wanted == 's' && end < n && end - i > 1) --end;
    }
    std::string word;
    for (; i < end; ++i) word += chars[i];
    out.push_back(std::move(word));
  }
  return out;
}

class BpeTokenizer : public Tokenizer {
 public:
  BpeTokenizer(const Json& json, std::string file) : file_(std::move(file)) {
    read_model(at(json, "model"));
    read_added(json.value("added_tokens", Json::array()));
    read_normalizer(json.value("normalizer", Json()));
    read_pre_tokenizer(json.value("pre_tokenizer", Json()));
    read_decoder(json.value("decoder", Json()));
  }

  int64_t vocab_size() const override { return static_cast<int64_t>(pieces_.size()); }
  bool strips_leading_space() const override { return strips_leading_space_; }

  std::string id_to_piece(int64_t id) const override {
    return id >= 0 && id < vocab_size() ? pieces_[static_cast<size_t>(id)] : std::string();
  }

  std::optional<int64_t> piece_to_id(std::string_view piece) const override {
    const auto found = ids_.find(std::string(piece));
    return found == ids_.end() ? std::nullopt : std::optional(found->second);
  }

  std::string bytes_of(int64_t id) const override {
    if (id < 0 || id >= vocab_size() || is_special_[static_cast<size_t>(id)]) return {};
    const std::string& piece = pieces_[static_cast<size_t>(id)];
    if (is_added_[static_cast<size_t>(id)]) return piece;
    if (!is_byte_level_) {
      const int byte = fallback_byte(piece);
      return byte >= 0 ? std::string(1, static_cast<char>(byte))
                       : replace_all(piece, kSpaceMark, " ");
    }
    std::string out;
    for (const std::string_view c : characters(piece)) {
      const auto found = byte_alphabet().byte.find(next_utf8(c).point);
      if (found == byte_alphabet().byte.end()) return piece;
      out += found->second;
    }
    return out;
  }

  std::vector<int64_t> encode(std::string_view text) const override {
    std::vector<int64_t> ids;
    bool is_first = true;
    // Tokens matched in the raw text first, those matched in the normalised text within what is
    // left.
    split_added(
        to_valid_utf8(text), raw_tokens_, ids,
        [&](const std::string& part) {
          split_added(
              normalise(part), normalised_tokens_, ids,
              [&](const std::string& inner) {
                for (const std::string& word : pre_tokenise({inner, is_first}))
                  encode_word(word, ids);
                is_first = false;
              },
              is_first);
        },
        is_first);
    return ids;
  }

 private:
  [[noreturn]] void fail(const std::string& subject, const std::string& expected,
                         const std::string& found) const {
    throw core::LoadError({.subject = "tokenizer: " + subject,
                           .expected = expected,
                           .found = found,
                           .file = file_,
                           .hint = {}});
  }
  const Json& at(const Json& json, const char* key) const {
    if (!json.is_object() || !json.contains(key)) fail(key, "an entry", "nothing");
    return json[key];
  }
  std::string type_of(const Json& json, const char* what) const {
    const Json& type = at(json, "type");
    if (!type.is_string()) fail(what, "a type", type.dump());
    return type.get<std::string>();
  }
  // A key that must be absent, null or `allowed`.
  void demand(const Json& json, const char* key, const Json& allowed) const {
    if (json.contains(key) && !json[key].is_null() && json[key] != allowed)
      fail(key, allowed.is_null() ? "null" : allowed.dump(), json[key].dump().substr(0, 60));
  }

  static int fallback_byte(const std::string& piece) {
    if (piece.size() != 6 || !piece.starts_with("<0x") || piece[5] != '>') return -1;
    const auto digit = [](char c) {
      return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
    };
    const int high = digit(piece[3]), low = digit(piece[4]);
    return high < 0 || low < 0 ? -1 : 16 * high + low;
  }

  void set_piece(int64_t id, const std::string& piece) {
    if (id < 0 || id > 10'000'000) fail(piece, "an id from 0 to 10^7", std::to_string(id));
    if (static_cast<size_t>(id) >= pieces_.size()) {
      pieces_.resize(static_cast<size_t>(id) + 1);
      is_special_.resize(pieces_.size());
      is_added_.resize(pieces_.size());
    }
    pieces_[static_cast<size_t>(id)] = piece;
    ids_[piece] = id;
  }

  void read_model(const Json& model) {
    if (model.contains("type") && model["type"] != "BPE")
      fail("model type", "BPE", model["type"].dump());
    demand(model, "dropout", Json());
    demand(model, "continuing_subword_prefix", "");
    demand(model, "end_of_word_suffix", "");
    const Json &vocab = at(model, "vocab"), &merges = at(model, "merges");
    if (!vocab.is_object() || vocab.empty())
      fail("vocab", "a map of pieces to ids", vocab.dump().substr(0, 40));
    for (const auto& [piece, id] : vocab.items()) {
      if (!id.is_number_integer()) fail("vocab." + piece, "an id", id.dump().substr(0, 40));
      set_piece(id.get<int64_t>(), piece);
    }
    if (!merges.is_array()) fail("merges", "a list", merges.dump().substr(0, 40));
    for (size_t i = 0; i < merges.size(); ++i) add_merge(merges[i], static_cast<int64_t>(i));
    if (model.contains("unk_token") && model["unk_token"].is_string()) {
      const auto unk = piece_to_id(model["unk_token"].get<std::string>());
      if (!unk) fail("unk_token", "a piece of the vocabulary", model["unk_token"].dump());
      special_.unk = *unk;
    }
    fuses_unknown_ = model.value("fuse_unk", false);
    ignores_merges_ = model.value("ignore_merges", false);
    if (!model.value("byte_fallback", false)) return;
    for (int byte = 0; byte < 256; ++byte) {
      constexpr const char* kDigits = "0123456789ABCDEF";
      const std::string name = std::string("<0x") + kDigits[byte / 16] + kDigits[byte % 16] + ">";
      byte_ids_[static_cast<size_t>(byte)] = piece_to_id(name).value_or(-1);
    }
    has_byte_fallback_ = true;
  }

  void add_merge(const Json& merge, int64_t rank) {
    std::string left, right;
    if (merge.is_string()) {
      const std::string text = merge.get<std::string>();
      const size_t space = text.find(' ');
      left = text.substr(0, space);
      right = space == std::string::npos ? "" : text.substr(space + 1);
    } else if (merge.is_array() && merge.size() == 2 && merge[0].is_string() &&
               merge[1].is_string()) {
      left = merge[0].get<std::string>();
      right = merge[1].get<std::string>();
    }
    const auto a = piece_to_id(left), b = piece_to_id(right), c = piece_to_id(left + right);
    if (!a || !b || !c || left.empty() || right.empty())
      fail("merges." + std::to_string(rank), "two pieces that form a third",
           merge.dump().substr(0, 60));
    merges_[key(*a, *b)] = {rank, *c};
  }
  static uint64_t key(int64_t a, int64_t b) {
    return static_cast<uint64_t>(a) << 32 | static_cast<uint64_t>(b);
  }

  void read_added(const Json& tokens) {
    if (!tokens.is_array()) fail("added_tokens", "a list", tokens.dump().substr(0, 40));
    for (const Json& token : tokens) {
      if (!token.is_object() || !token.contains("id") || !token["id"].is_number_integer() ||
          !token.contains("content") || !token["content"].is_string())
        fail("added_tokens", "id and content", token.dump().substr(0, 60));
      const AddedToken added{token["content"].get<std::string>(), token["id"].get<int64_t>(),
                             token.value("special", false), token.value("lstrip", false),
                             token.value("rstrip", false)};
      if (added.content.empty()) continue;
      if (token.value("single_word", false))
        fail("added token " + added.content, "single_word false", "true");
      set_piece(added.id, added.content);
      is_special_[static_cast<size_t>(added.id)] = added.is_special;
      is_added_[static_cast<size_t>(added.id)] = true;
      (token.value("normalized", !added.is_special) ? normalised_tokens_ : raw_tokens_)
          .push_back(added);
    }
  }

  void read_normalizer(const Json& json) {
    if (json.is_null()) return;
    const std::string type = type_of(json, "normalizer");
    if (type == "Sequence") {
      for (const Json& item : at(json, "normalizers")) read_normalizer(item);
    } else if (type == "Prepend") {
      normalizers_.emplace_back("", at(json, "prepend").get<std::string>());
    } else if (type == "Replace" && at(json, "pattern").is_object() &&
               json["pattern"].contains("String")) {
      const std::string from = json["pattern"]["String"].get<std::string>();
      if (from.empty()) fail("Replace", "a pattern", "\"\"");
      normalizers_.emplace_back(from, at(json, "content").get<std::string>());
    } else {
      fail("normalizer", "Prepend, Replace of a string, or a Sequence of them", type);
    }
  }

  void read_pre_tokenizer(const Json& json) {
    if (json.is_null()) return;
    const std::string type = type_of(json, "pre_tokenizer");
    if (type == "Sequence") {
      for (const Json& item : at(json, "pretokenizers")) read_pre_tokenizer(item);
    } else if (type == "ByteLevel") {
      is_byte_level_ = true;
      adds_prefix_space_ = json.value("add_prefix_space", true);
      splits_as_gpt2_ = json.value("use_regex", true);
    } else if (type == "Digits" && !is_byte_level_) {
      splits_digits_ = true;
      splits_each_digit_ = json.value("individual_digits", false);
    } else if (type == "Metaspace") {
      demand(json, "replacement", kSpaceMark);
      has_metaspace_ = true;
      const std::string scheme =
          json.value("prepend_scheme", json.value("add_prefix_space", true) ? "always" : "never");
      if (scheme != "always" && scheme != "first" && scheme != "never")
        fail("prepend_scheme", "always, first or never", scheme);
      prepend_ = scheme == "always"  ? Prepend::kAlways
                 : scheme == "first" ? Prepend::kFirst
                                     : Prepend::kNever;
      splits_at_mark_ = json.value("split", true);
    } else {
      fail("pre_tokenizer", "ByteLevel, Metaspace, or Digits before ByteLevel", type);
    }
    if (is_byte_level_ && has_metaspace_)
      fail("pre_tokenizer", "one of ByteLevel and Metaspace", "both");
  }

  void read_decoder(const Json& json) {
    if (json.is_null()) {
      strips_leading_space_ = !is_byte_level_;
      return;
    }
    const std::string type = type_of(json, "decoder");
    if (type == "Sequence") {
      for (const Json& item : at(json, "decoders")) read_decoder(item);
    } else if (type == "Strip") {
      demand(json, "content", " ");
      demand(json, "stop", 0);
      strips_leading_space_ = json.value("start", 0) > 0;
    } else if (type == "Metaspace") {
      strips_leading_space_ =
          json.value("prepend_scheme", json.value("add_prefix_space", true) ? "always" : "never") !=
          "never";
    } else if (type == "ByteLevel") {
      is_byte_level_ = true;
    } else if (type != "Replace" && type != "ByteFallback" && type != "Fuse") {
      fail("decoder", "ByteLevel, Metaspace, or Replace, ByteFallback, Fuse, Strip", type);
    }
  }

  // Leftmost, then longest. `is_first` turns false once anything has been taken.
  template <typename Rest>
  static void split_added(const std::string& text, const std::vector<AddedToken>& tokens,
                          std::vector<int64_t>& ids, Rest rest, bool& is_first) {
    size_t begin = 0;
    const auto flush = [&](size_t end) {
      if (end > begin) rest(text.substr(begin, end - begin));
    };
    for (size_t i = 0; i < text.size() && !tokens.empty();) {
      const AddedToken* best = nullptr;
      for (const AddedToken& token : tokens)
        if (text.compare(i, token.content.size(), token.content) == 0 &&
            (best == nullptr || token.content.size() > best->content.size()))
          best = &token;
      if (best == nullptr) {
        ++i;
        continue;
      }
      size_t start = i;
      const auto is_space = [](char c) { return c == ' ' || (c >= '\t' && c <= '\r'); };
      while (best->strips_left && start > begin && is_space(text[start - 1])) --start;
      flush(start);
      ids.push_back(best->id);
      is_first = false;
      i += best->content.size();
      while (best->strips_right && i < text.size() && is_space(text[i])) ++i;
      begin = i;
    }
    flush(text.size());
  }

  std::string normalise(std::string text) const {
    for (const auto& [from, to] : normalizers_) {
      if (!from.empty())
        text = replace_all(std::move(text), from, to);
      else if (!text.empty())
        text = to + text;
    }
    return text;
  }

  std::vector<std::string> pre_tokenise(Piece piece) const {
    if (has_metaspace_) return split_metaspace(std::move(piece));
    std::vector<std::string> words = {std::move(piece.text)};
    if (splits_digits_) words = split_digits(words.front());
    if (!is_byte_level_) return words;
    std::vector<std::string> out;
    for (std::string& word : words) {
      if (adds_prefix_space_ && !word.starts_with(' ')) word.insert(word.begin(), ' ');
      for (const std::string& part :
           splits_as_gpt2_ ? split_as_gpt2(word) : std::vector<std::string>{word}) {
        std::string spelt;
        for (const char c : part) spelt += byte_alphabet().text[static_cast<unsigned char>(c)];
        out.push_back(std::move(spelt));
      }
    }
    return out;
  }

  std::vector<std::string> split_metaspace(Piece piece) const {
    std::string text = replace_all(std::move(piece.text), " ", kSpaceMark);
    const bool prepends =
        prepend_ == Prepend::kAlways || (prepend_ == Prepend::kFirst && piece.is_first);
    if (prepends && !text.starts_with(kSpaceMark)) text = kSpaceMark + text;
    if (!splits_at_mark_) return {text};
    std::vector<std::string> out;
    for (size_t begin = 0; begin < text.size();) {
      size_t end = text.find(kSpaceMark, begin + 1);
      if (end == std::string::npos) end = text.size();
      out.push_back(text.substr(begin, end - begin));
      begin = end;
    }
    return out;
  }

  std::vector<std::string> split_digits(const std::string& text) const {
    std::vector<std::string> out;
    bool was_digit = false;
    for (const std::string_view c : characters(text)) {
      const bool is_digit = is_number(next_utf8(c).point);
      if (out.empty() || is_digit != was_digit || (is_digit && splits_each_digit_))
        out.emplace_back();
      out.back() += c;
      was_digit = is_digit;
    }
    return out;
  }

  void encode_word(const std::string& word, std::vector<int64_t>& ids) const {
    if (ignores_merges_)
      if (const auto whole = piece_to_id(word)) {
        ids.push_back(*whole);
        return;
      }
    std::vector<int64_t> symbols;
    bool was_unknown = false;
    for (const std::string_view c : characters(word)) {
      bool is_unknown = false;
      if (const auto id = piece_to_id(c)) {
        symbols.push_back(*id);
      } else if (has_byte_fallback_ && std::all_of(c.begin(), c.end(), [&](char byte) {
                   return byte_ids_[static_cast<unsigned char>(byte)] >= 0;
                 })) {
        for (const char byte : c) symbols.push_back(byte_ids_[static_cast<unsigned char>(byte)]);
      } else if (special_.unk >= 0) {
        is_unknown = true;
        if (!was_unknown || !fuses_unknown_) symbols.push_back(special_.unk);
      }
      was_unknown = is_unknown;
    }
    merge(symbols);
    ids.insert(ids.end(), symbols.begin(), symbols.end());
  }

  // Lowest rank first, leftmost among equals; a linked list of what is left, stale queue entries
  // skipped.
  void merge(std::vector<int64_t>& symbols) const {
    struct Candidate {
      int64_t rank;
      size_t left;
      int64_t a, b;
      bool operator<(const Candidate& other) const {
        return std::pair(rank, left) > std::pair(other.rank, other.left);
      }
    };
    const size_t n = symbols.size(), none = n;
    std::vector<size_t> next(n), previous(n);
    for (size_t i = 0; i < n; ++i) {
      next[i] = i + 1;
      previous[i] = i == 0 ? none : i - 1;
    }
    std::priority_queue<Candidate> queue;
    const auto offer = [&](size_t i) {
      if (i == none || next[i] == none) return;
      const auto found = merges_.find(key(symbols[i], symbols[next[i]]));
      if (found != merges_.end()) queue.push({found->second.rank, i, symbols[i], symbols[next[i]]});
    };
    for (size_t i = 0; i < n; ++i) offer(i);
    while (!queue.empty()) {
      const Candidate best = queue.top();
      queue.pop();
      const size_t i = best.left;
      if (symbols[i] != best.a || next[i] == none || symbols[next[i]] != best.b) continue;
      symbols[i] = merges_.at(key(best.a, best.b)).result;
      const size_t gone = next[i];
      symbols[gone] = -1;
      next[i] = next[gone];
      if (next[i] != none) previous[next[i]] = i;
      offer(previous[i]);
      offer(i);
    }
    symbols.erase(std::remove(symbols.begin(), symbols.end(), -1), symbols.end());
  }

  std::string file_;
  std::vector<std::string> pieces_;
  std::vector<bool> is_special_, is_added_;
  std::unordered_map<std::string, int64_t> ids_;
  std::unordered_map<uint64_t, Merge> merges_;
  std::array<int64_t, 256> byte_ids_ = {};
  std::vector<AddedToken> raw_tokens_, normalised_tokens_;
  std::vector<std::pair<std::string, std::string>> normalizers_;  // from, to; from empty: prepend
  Prepend prepend_ = Prepend::kNever;
  bool fuses_unknown_ = false, ignores_merges_ = false, has_byte_fallback_ = false,
       has_metaspace_ = false;
  bool is_byte_level_ = false, adds_prefix_space_ = false, splits_as_gpt2_ = false,
       splits_at_mark_ = false;
  bool splits_digits_ = false, splits_each_digit_ = false, strips_leading_space_ = false;
};

}  // namespace

std::unique_ptr<Tokenizer> make_bpe_tokenizer(const std::string& json, const std::string& file) {
  try {
    return std::make_unique<BpeTokenizer>(Json::parse(json), file);
  } catch (const Json::exception& error) {
    throw core::LoadError({.subject = "tokenizer",
                           .expected = "a tokenizer.json",
                           .found = error.what(),
                           .file = file,
                           .hint = {}});
  }
}

}  // namespace duet::models
