#pragma once
// Text to ids and back, for the text channel and for transcripts. Two families behind one seam:
// SentencePiece
// (`tokenizer.model`) and Hugging Face BPE (`tokenizer.json`, models/tokenizer_bpe.h). Sources:
// nemo-duplex-s2s 6.1, 6.5, 9.13. No tensors.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace duet::models {

/// Ids with a role; -1: the tokenizer declares none.
struct SpecialIds {
  int64_t bos = -1, eos = -1, unk = -1, pad = -1;
};

/// Const and safe on many threads.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  /// Ids the files define; embeddings may have other numbers of rows.
  virtual int64_t vocab_size() const = 0;
  /// No bos and no eos are added; special tokens written in the text become their ids only in
  /// `tokenizer.json` families, as there. Invalid UTF-8 counts as U+FFFD.
  virtual std::vector<int64_t> encode(std::string_view text) const = 0;
  /// The token as spelt in the file ("▁the", "<0xE2>"); empty outside the vocabulary.
  virtual std::string id_to_piece(int64_t id) const = 0;
  virtual std::optional<int64_t> piece_to_id(std::string_view piece) const = 0;
  /// The bytes the id adds to a text: a space where a word begins, one byte of a character for byte
  /// pieces, nothing for special tokens and ids outside the vocabulary.
  virtual std::string bytes_of(int64_t id) const = 0;
  /// Whether a text's very first space is the tokenizer's own and not to be shown.
  virtual bool strips_leading_space() const = 0;

  const SpecialIds& special() const { return special_; }
  /// What NeMo uses for silence in the text channel: pad, else unk, else 0.
  int64_t text_pad() const {
    return special_.pad >= 0 ? special_.pad : special_.unk >= 0 ? special_.unk : 0;
  }

  /// Special tokens say nothing; bytes that form no character become U+FFFD.
  std::string decode(const std::vector<int64_t>& ids) const;
  /// bytes_of for every id.
  std::vector<std::string> piece_table() const;

 protected:
  SpecialIds special_;
};

/// Decodes ids as they come; the concatenation of all push() and finish() equals Tokenizer::decode
/// of all ids.
class StreamingDecoder {
 public:
  explicit StreamingDecoder(const Tokenizer& tokenizer)
      : tokenizer_(&tokenizer) {}  ///< which must outlive it

  /// The text that `id` completed; the bytes of an unfinished character are held back.
  std::string push(int64_t id);
  /// End of the text: what was held back becomes U+FFFD. Starts anew.
  std::string finish();

 private:
  const Tokenizer* tokenizer_;
  std::string held_;
  bool is_at_start_ = true;
};

/// Reads `path`: a SentencePiece model, a `tokenizer.json`, or a folder that holds either
/// (tokenizer.json is preferred, as NeMo's AutoTokenizer does). A `tokenizer_config.json` beside it
/// declares bos, eos, unk and pad. Throws core::LoadError.
std::unique_ptr<Tokenizer> load_tokenizer(const std::string& path);

}  // namespace duet::models
