// Kernels by themselves, under Google Benchmark: one-row products of the sizes of an LM's step, the
// codec and the encoder of nemo-1.2b, resampling and Opus of one step. Not part of duet or its
// tests: -DDUET_BENCHMARKS=ON.

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <benchmark/benchmark.h>
#include <c10/core/InferenceMode.h>

#include <cmath>

#include "audio/resampler.h"
#include "codecs/wire/ogg_opus_encoder.h"
#include "models/nn/matrix.h"
#include "tools/speed/parts.h"
#include "tools/speed/random_weights.h"

namespace duet::speed {
namespace {

/// One row through a square matrix; counts the bytes of the weights that are read.
void multiply(benchmark::State& state, bool is_int8) {
  const c10::InferenceMode inference;
  at::set_num_threads(1);
  const std::int64_t width = state.range(0), rows = state.range(1);
  RandomWeightReader reader({.is_int8 = is_int8});
  const models::nn::Matrix matrix(
      reader.parameter("m.weight", {rows, width}, models::Init::fan_in()));
  const at::Tensor x = at::randn({1, width});
  for (auto _ : state) benchmark::DoNotOptimize(matrix.multiply(x).data_ptr());
  state.SetBytesProcessed(state.iterations() * rows * width * (is_int8 ? 1 : 4));
}
void multiply_int8(benchmark::State& state) { multiply(state, true); }
void multiply_float32(benchmark::State& state) { multiply(state, false); }
BENCHMARK(multiply_int8)->Args({512, 512})->Args({2048, 2048})->Args({2048, 5632});
BENCHMARK(multiply_float32)->Args({512, 512})->Args({2048, 2048})->Args({2048, 5632});

const Parts& nemo() {
  static const Parts parts = random_parts(find_architecture("nemo-1.2b"), true);
  return parts;
}

void nano_codec_step(benchmark::State& state) {
  const c10::InferenceMode inference;
  at::set_num_threads(1);
  const auto codec = nemo().codec->initial_state(1);
  const at::Tensor codes = at::zeros({1, 4, 1}, at::kLong);
  for (auto _ : state) benchmark::DoNotOptimize(nemo().codec->step(codes, *codec).data_ptr());
}
BENCHMARK(nano_codec_step)->Unit(benchmark::kMillisecond);

void fast_conformer_step(benchmark::State& state) {
  const c10::InferenceMode inference;
  at::set_num_threads(1);
  const auto encoder = nemo().encoder->initial_state(1);
  const at::Tensor pcm = 0.01 * at::randn({1, models::kUserFrameSamples});
  for (auto _ : state) benchmark::DoNotOptimize(nemo().encoder->step(pcm, *encoder).numel());
}
BENCHMARK(fast_conformer_step)->Unit(benchmark::kMillisecond);

std::vector<float> tone() {
  std::vector<float> samples(1920);
  for (std::size_t i = 0; i < samples.size(); ++i)
    samples[i] = 0.3F * static_cast<float>(std::sin(0.05 * static_cast<double>(i)));
  return samples;
}

void resample_step(benchmark::State& state) {
  audio::Resampler resampler(24000, 16000);
  const std::vector<float> input = tone();
  std::vector<float> output;
  for (auto _ : state) {
    output.clear();
    resampler.process(input, output);
    benchmark::DoNotOptimize(output.data());
  }
}
BENCHMARK(resample_step)->Unit(benchmark::kMicrosecond);

void opus_encode_step(benchmark::State& state) {
  wire::OggOpusEncoder encoder;
  const std::vector<float> input = tone();
  std::vector<std::uint8_t> bytes;
  for (auto _ : state) {
    bytes.clear();
    encoder.encode(input, bytes);
    benchmark::DoNotOptimize(bytes.data());
  }
}
BENCHMARK(opus_encode_step)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace duet::speed

BENCHMARK_MAIN();
