#pragma once
// Everything dialogues are mixed from: user speech, the agent's speech as codec codes and text
// tokens, scripts. Decoded audio and codes are kept in a cache folder; codes are made again when
// the codec's weights change.

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "codecs/neural/codec.h"
#include "codecs/neural/convnext_codec.h"
#include "models/sentencepiece_library.h"
#include "models/weights/weight_reader.h"
#include "tools/train/dialogue.h"

namespace duet::train {

struct MaterialConfig {
  std::vector<std::string> manifests;  ///< JSONL, see speech_set.h.
  std::vector<std::string> scripts;    ///< JSONL, see read_scripts.
  std::vector<std::string> units;      ///< Manifests of role "unit": words cut from sentences.
  /// JSONL {"text", "units": [id, ...]}: replies strung together from them, in the place of
  /// recordings of the same texts.
  std::vector<std::string> composed;
  std::string cache_dir;  ///< "" = no cache.
  double max_user_seconds = 12.0;
  double max_agent_seconds = 30.0;
};

/// Ids of the text channel's special tokens in the agent's tokenizer: its pad piece, bos and eos.
struct TextIds {
  int64_t pad = 0, bos = 1, eos = 2;
};

/// Flags for spm_train that give these ids: `<sil>` as the pad, bos, eos and unknown as 0, 1, 2, 3.
std::string agent_tokenizer_flags();

/// All distinct texts the agent can say, each once, plus letters, numbers and days, so that no
/// piece is missing.
std::vector<std::string> agent_tokenizer_texts(const std::vector<std::string>& manifests);

/// A codec's tensors, "encoder.*" and "decoder.*", fp32, from a file of the codec trainer or from
/// the weights of a model directory (where they are below "codec."). Throws core::LoadError.
models::TensorMap read_codec_weights(const std::string& path);

/// The codec's encoder from such a file. Throws core::LoadError.
std::unique_ptr<codecs::ConvNextEncoder> read_codec_encoder(
    const std::string& path, const codecs::ConvNextCodecConfig& config);

/// Users of split "train" whose text, or whose composed reply (sum, order, correction), is not that
/// of a held-out item.
std::vector<Utterance> without_heldout(std::vector<Utterance> users,
                                       const std::vector<std::string>& manifests);

/// Reads, decodes, tokenizes, encodes. `codec_name` identifies the codec's weights in the cache.
/// `progress` gets a line now and then. Throws core::LoadError.
DialogueMaterial load_material(const MaterialConfig& config,
                               const models::SentencePieceModel& pieces,
                               const codecs::CodecEncoder& codec, int64_t codec_rate_hz,
                               const std::string& codec_name,
                               const std::function<void(const std::string&)>& progress = nullptr);

/// The K codes of silence: what the codec makes of two seconds of zeros, away from both ends.
std::vector<int64_t> silence_codes(const codecs::CodecEncoder& codec, int64_t codec_rate_hz);

}  // namespace duet::train
