#pragma once
// The engine that thinks: a speech encoder, the duplex LM and a codec decoder behind
// runtime/engine.h. The only place where samples become tensors and back.
//
// One step, in order (one block of 1280 samples in, one output block out):
//   1. encoder: samples -> the user frames they complete. One a block; two every second block for
//   encoders that work
//      in chunks of two. Frames the encoder is late by are paid for with silence at the start,
//      never by waiting.
//   2. for each frame: LM step on (frame, what was said at the last step) -> text logits, K x code
//   logits
//   3. sampler: one text token, K codes. The first thing heard back is the text pad and DELAY.
//   4. text: bos opens the agent's turn, eos ends it, pad says nothing, everything else is a piece
//   of its words
//   5. control codes replaced (silence), codec step -> samples of the slot. What is heard back
//   keeps the control codes.
//   6. the encoder's CTC and speaking heads -> user text and activity: reported, never used to
//   decide.
//
// Threads: the engine is shared and const. A step runs in InferenceMode, on one thread, denormals
// flushed; the first step on a thread sets both for that thread. Greedy steps are deterministic;
// with a temperature, the seed decides.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "codecs/neural/codec.h"
#include "models/duplex_lm.h"
#include "models/sampler.h"
#include "models/speech_encoder.h"
#include "models/tokenizer.h"
#include "runtime/engine.h"

namespace duet::engine {

/// What an engine is made of. Everything required unless said otherwise.
struct EngineParts {
  std::unique_ptr<models::SpeechEncoder> encoder;
  std::unique_ptr<models::DuplexLm> lm;
  std::unique_ptr<codecs::CodecDecoder> codec;
  /// Text ids and the model's own interruptibility; temperature and seed come from the session.
  models::SamplerConfig sampler;
  /// K codes that stand for control codes in the codec; empty: the first said frame does, as in
  /// NeMo.
  std::vector<int64_t> silence_codes;
  std::unique_ptr<models::Tokenizer> text_tokenizer;
  /// Ids are the encoder's CTC classes but the blank, which is the last class; nullptr: no user
  /// text.
  std::unique_ptr<models::Tokenizer> ctc_tokenizer;
  /// EngineInfo's: samples that the encoder waits for beyond the time it speaks about.
  int64_t encoder_lookahead_samples = 0;
  std::string model_name, model_version, model_path, dtype = "float32";
};

/// Throws core::ConfigError when the parts do not fit together, naming both sides.
std::unique_ptr<runtime::Engine> make_torch_engine(EngineParts parts);

/// Loads a model directory (docs/model-format.md). Throws core::LoadError or core::ConfigError.
std::unique_ptr<runtime::Engine> load_engine(const std::string& model_dir);

}  // namespace duet::engine
