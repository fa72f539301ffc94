#pragma once
// Streaming sample rate conversion with a Kaiser-windowed sinc, evaluated at exact rational
// positions (J. O. Smith, "Digital Audio Resampling", section "Theory of ideal bandlimited
// interpolation"). Linear phase, time-aligned: output sample m stands for the time m / output_rate.
// It looks 2 ms ahead (32 periods of the lower rate), where soxr's DFT stages hold back 15-40 ms at
// speech rates (measured, streaming, HQ and MQ) - half a step of a conversation.

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace duet::audio {

/// One channel from one fixed rate to another. Equal rates pass through untouched. Streaming equals
/// offline to the bit, whatever the pieces. One thread; `process` allocates only until the largest
/// piece was seen.
class Resampler {
 public:
  /// Rates in Hz, 1 to 768000. Throws core::ConfigError outside.
  Resampler(int input_rate_hz, int output_rate_hz);

  int input_rate_hz() const noexcept { return input_rate_hz_; }
  int output_rate_hz() const noexcept { return output_rate_hz_; }
  /// Input samples needed beyond the time of an output sample before it can be computed; 0 for
  /// equal rates.
  std::size_t lookahead_samples() const noexcept { return half_taps_; }

  /// Appends to `output` every sample that can now be computed.
  void process(std::span<const float> input, std::vector<float>& output);
  /// End of stream: appends the rest, as if zeros followed, so that N input samples gave ceil(N *
  /// out / in) in all. Then starts anew.
  void flush(std::vector<float>& output);
  void reset();

 private:
  float interpolate(std::size_t first, std::int64_t phase) const;
  void emit(std::vector<float>& output);

  int input_rate_hz_;
  int output_rate_hz_;
  std::int64_t up_ = 1;    // Output rate / gcd: positions are counted in 1/up_ of an input sample.
  std::int64_t down_ = 1;  // Input rate / gcd: step from one output sample to the next.
  std::size_t half_taps_ = 0;
  std::int64_t num_phases_ = 0;
  std::vector<float> bank_;  // [num_phases_ + 1, 2 * half_taps_]

  std::vector<float>
      history_;  // Input from sample `history_begin_` on; half_taps_ zeros stand before the stream.
  std::int64_t history_begin_ = 0;
  std::int64_t num_input_ = 0;
  std::int64_t num_output_ = 0;
};

/// The whole signal at once: ceil(N * out / in) samples.
std::vector<float> resample(std::span<const float> input, int input_rate_hz, int output_rate_hz);

}  // namespace duet::audio
