#pragma once
// SentencePiece behind a wall (see models/sentencepiece/shim.cpp for why). Plain access to one
// model; models/tokenizer.h builds the tokenizer seam on it.

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace duet::models {

class SentencePieceModel {
 public:
  enum class Kind { kNormal, kUnknown, kControl, kByte, kUnused };

  /// Reads a tokenizer.model file. Throws core::LoadError.
  explicit SentencePieceModel(const std::string& path);
  ~SentencePieceModel();
  SentencePieceModel(SentencePieceModel&&) noexcept;
  SentencePieceModel& operator=(SentencePieceModel&&) noexcept;

  int size() const;
  std::vector<int> encode(std::string_view text) const;
  std::string piece(int id) const;
  int id(const std::string& piece) const;  ///< The unknown id when there is no such piece.
  Kind kind(int id) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace duet::models
