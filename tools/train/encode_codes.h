#pragma once
// Makes the codes the duplex LM learns to speak: every utterance of a set through the (frozen)
// codec encoder.

#include <functional>
#include <string>
#include <vector>

#include "codecs/neural/codec.h"
#include "models/weights/weight_reader.h"
#include "tools/train/speech_set.h"

namespace duet::train {

/// Codes by utterance id, int16 [K, T], T = ceil(samples / samples_per_frame), encoded in the
/// middle of silence, as they will be heard. Also "silence" [K]: what the encoder makes of exact
/// zeros. An id that occurs twice is an error (core::LoadError). `progress` (done, total) is called
/// after each utterance.
models::TensorMap encode_codes(const codecs::CodecEncoder& encoder, int64_t samples_per_frame,
                               const std::vector<Utterance>& utterances,
                               const std::function<void(int64_t, int64_t)>& progress = nullptr);

}  // namespace duet::train
