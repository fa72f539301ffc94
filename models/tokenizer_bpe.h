#pragma once
// Byte-pair encoding from Hugging Face's `tokenizer.json`. Source: huggingface/tokenizers
// (added_vocabulary.rs, models/bpe/{model,word}.rs,
// pre_tokenizers/{byte_level,metaspace,digits}.rs). Two styles:
//  - Llama: U+2581 for spaces, by normalizers Prepend and Replace or by the Metaspace
//  pre-tokenizer; byte fallback.
//  - GPT-2: ByteLevel with its regular expression; Sequence with Digits before it (SmolLM2).
// Everything else (Unigram, WordPiece, NFKC, Split with another expression, dropout, ...) is
// refused by its name. The post-processor is not applied: nothing here adds bos or eos.

#include <memory>
#include <string>

#include "models/tokenizer.h"

namespace duet::models {

/// `json` is the text of `file`. Roles (bos, eos, pad) are not in this file: load_tokenizer.
/// Throws core::LoadError.
std::unique_ptr<Tokenizer> make_bpe_tokenizer(const std::string& json, const std::string& file);

}  // namespace duet::models
