#include "models/tokenizer.h"

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <utility>

#include "models/sentencepiece_library.h"
#include "models/tokenizer_bpe.h"
#include "models/utf8.h"
#include "runtime/core/error.h"

namespace duet::models {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

std::string read_text(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream text;
  if (in) text << in.rdbuf();
  if (!in)
    throw core::LoadError({.subject = "tokenizer",
                           .expected = "a readable file",
                           .found = "none",
                           .file = path,
                           .hint = {}});
  return text.str();
}

class SentencePieceTokenizer : public Tokenizer {
 public:
  explicit SentencePieceTokenizer(const std::string& path) : model_(path) {
    using Kind = SentencePieceModel::Kind;
    for (int id = 0; id < model_.size(); ++id) {
      const Kind kind = model_.kind(id);
      const std::string piece = model_.piece(id);
      if (kind == Kind::kUnknown) special_.unk = id;
      if (kind != Kind::kControl) continue;
      if (piece == "<s>") special_.bos = id;
      if (piece == "</s>") special_.eos = id;
      if (piece == "<pad>") special_.pad = id;
    }
  }
  int64_t vocab_size() const override { return model_.size(); }
  bool strips_leading_space() const override { return true; }
  std::vector<int64_t> encode(std::string_view text) const override {
    const std::vector<int> ids = model_.encode(to_valid_utf8(text));
    return {ids.begin(), ids.end()};
  }
  std::string id_to_piece(int64_t id) const override {
    return id >= 0 && id < vocab_size() ? model_.piece(static_cast<int>(id)) : std::string();
  }
  std::optional<int64_t> piece_to_id(std::string_view piece) const override {
    const int id = model_.id(std::string(piece));
    return id >= 0 && id < model_.size() && model_.piece(id) == piece ? std::optional<int64_t>(id)
                                                                      : std::nullopt;
  }
  std::string bytes_of(int64_t id) const override {
    using Kind = SentencePieceModel::Kind;
    if (id < 0 || id >= vocab_size()) return {};
    const std::string piece = model_.piece(static_cast<int>(id));
    switch (model_.kind(static_cast<int>(id))) {
      case Kind::kByte:
        return std::string(1, static_cast<char>(std::stoi(piece.substr(3, 2), nullptr, 16)));
      case Kind::kNormal: break;
      default: return {};
    }
    std::string out;
    for (size_t i = 0; i < piece.size(); ++i) {
      const bool is_mark = piece.compare(i, 3, "\xE2\x96\x81") == 0;
      out += is_mark ? ' ' : piece[i];
      if (is_mark) i += 2;
    }
    return out;
  }

 private:
  SentencePieceModel model_;
};

/// The tokenizer plus the roles that tokenizer_config.json declares.
class WithRoles : public Tokenizer {
 public:
  WithRoles(std::unique_ptr<Tokenizer> inner, const std::string& config_file)
      : inner_(std::move(inner)) {
    special_ = inner_->special();
    try {
      const Json config = Json::parse(read_text(config_file));
      assign(config, "bos_token", special_.bos, config_file);
      assign(config, "eos_token", special_.eos, config_file);
      assign(config, "unk_token", special_.unk, config_file);
      assign(config, "pad_token", special_.pad, config_file);
    } catch (const Json::exception& error) {
      throw core::LoadError({.subject = "tokenizer",
                             .expected = "a tokenizer_config.json",
                             .found = error.what(),
                             .file = config_file,
                             .hint = {}});
    }
  }
  int64_t vocab_size() const override { return inner_->vocab_size(); }
  std::vector<int64_t> encode(std::string_view text) const override { return inner_->encode(text); }
  std::string id_to_piece(int64_t id) const override { return inner_->id_to_piece(id); }
  std::optional<int64_t> piece_to_id(std::string_view piece) const override {
    return inner_->piece_to_id(piece);
  }
  bool strips_leading_space() const override { return inner_->strips_leading_space(); }
  std::string bytes_of(int64_t id) const override {
    const bool is_special =
        id == special_.bos || id == special_.eos || id == special_.unk || id == special_.pad;
    return is_special ? std::string() : inner_->bytes_of(id);
  }

 private:
  // A token is a string or an object with "content"; null and absent declare nothing and leave the
  // role as it was.
  void assign(const Json& config, const char* key, int64_t& id, const std::string& file) const {
    if (!config.is_object() || !config.contains(key) || config[key].is_null()) return;
    const Json& token = config[key].is_object() && config[key].contains("content")
                            ? config[key]["content"]
                            : config[key];
    const auto found =
        token.is_string() ? inner_->piece_to_id(token.get<std::string>()) : std::nullopt;
    if (!found)
      throw core::LoadError({.subject = key,
                             .expected = "a piece of the tokenizer",
                             .found = token.dump(),
                             .file = file,
                             .hint = {}});
    id = *found;
  }

  std::unique_ptr<Tokenizer> inner_;
};

}  // namespace

std::string Tokenizer::decode(const std::vector<int64_t>& ids) const {
  StreamingDecoder decoder(*this);
  std::string text;
  for (const int64_t id : ids) text += decoder.push(id);
  return text + decoder.finish();
}

std::vector<std::string> Tokenizer::piece_table() const {
  std::vector<std::string> table;
  for (int64_t id = 0; id < vocab_size(); ++id) table.push_back(bytes_of(id));
  return table;
}

std::string StreamingDecoder::push(int64_t id) {
  held_ += tokenizer_->bytes_of(id);
  std::string out;
  std::string_view rest = held_;
  while (!rest.empty()) {
    const Utf8Char next = next_utf8(rest);
    if (next.is_incomplete) break;
    const bool is_own_space = is_at_start_ && rest[0] == ' ' && tokenizer_->strips_leading_space();
    is_at_start_ = false;
    if (!is_own_space)
      out += next.is_valid ? std::string(rest.substr(0, next.num_bytes)) : "\xEF\xBF\xBD";
    rest.remove_prefix(next.num_bytes);
  }
  held_ = std::string(rest);
  return out;
}

std::string StreamingDecoder::finish() {
  is_at_start_ = true;
  return to_valid_utf8(std::exchange(held_, {}));
}

std::unique_ptr<Tokenizer> load_tokenizer(const std::string& path) {
  std::string file = path;
  if (fs::is_directory(path)) {
    file = path + "/tokenizer.json";
    if (!fs::exists(file)) file = path + "/tokenizer.model";
    if (!fs::exists(file))
      throw core::LoadError({.subject = "tokenizer",
                             .expected = "tokenizer.json or tokenizer.model",
                             .found = "neither",
                             .file = path,
                             .hint = {}});
  }
  std::unique_ptr<Tokenizer> tokenizer;
  if (file.ends_with(".json"))
    tokenizer = make_bpe_tokenizer(read_text(file), file);
  else
    tokenizer = std::make_unique<SentencePieceTokenizer>(file);
  const std::string config = (fs::path(file).parent_path() / "tokenizer_config.json").string();
  if (fs::exists(config)) tokenizer = std::make_unique<WithRoles>(std::move(tokenizer), config);
  return tokenizer;
}

}  // namespace duet::models
