#pragma once
// The golden signal and the limits of the tests against the NeMo reference values.

#include <ATen/core/Tensor.h>

#include "models/nemo_perception.h"
#include "tests/support/streaming_laws.h"

namespace duet::test {

/// Reference values are printed with five decimals and were computed in fp32 by another
/// implementation.
constexpr Tolerance kGoldenTolerance{1e-4, 0.0};

/// 0.8 s: x[n] = 0.5 sin(2 pi 440 n/16000) + 0.25 sin(2 pi 1000 n/16000) cos(2 pi 3 n/16000), [1,
/// 12800] fp32.
at::Tensor golden_signal(int64_t num_samples = 12800);

/// Uniform noise in -0.5..0.5 from a seed; the same on every machine and LibTorch.
at::Tensor noise(at::IntArrayRef shape, uint64_t seed);

/// Perception of the golden tiny model: 80 mels, 2 conformer layers of width 32 with 4 heads,
/// adapter of 1 layer, 48 out; the same context in encoder and adapter.
models::NemoPerceptionConfig tiny_perception(models::nn::ChunkContext context = {4, 2});

}  // namespace duet::test
