#include "audio/beep.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <numbers>
#include <span>
#include <thread>
#include <vector>

namespace duet::audio {

namespace {

constexpr double kToneHz = 880.0;
constexpr float kAmplitude = 0.3F;

/// Level of the tone of a frequency in a signal, by its Fourier sum; a full-scale sine is at -3.
double tone_dbfs(std::span<const float> x, double hz, int rate_hz) {
  double re = 0.0, im = 0.0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double phase = 2.0 * std::numbers::pi * hz * static_cast<double>(i) / rate_hz;
    re += static_cast<double>(x[i]) * std::cos(phase);
    im += static_cast<double>(x[i]) * std::sin(phase);
  }
  const auto size = static_cast<double>(std::max<std::size_t>(x.size(), 1));
  return 10.0 * std::log10(2.0 * (re * re + im * im) / (size * size) + 1e-20);
}

void capture(DuplexStream& stream, double seconds, std::vector<float>& near) {
  std::vector<SamplePair> pairs(4096);
  const auto wanted = static_cast<std::size_t>(seconds * stream.rate_hz());
  const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(2.0 * seconds);
  while (near.size() < wanted && std::chrono::steady_clock::now() < end) {
    const std::size_t count = stream.read(pairs);
    for (std::size_t i = 0; i < count; ++i) near.push_back(pairs[i].near);
    if (count == 0) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

}  // namespace

BeepResult beep(DuplexDevice& device, const DeviceRequest& request) {
  BeepResult result;
  result.facts = device.open(request);
  DuplexStream stream({.rate_hz = result.facts.rate_hz, .playout_seconds = 2.0});
  device.start(stream);
  std::vector<float> quiet, loud;
  capture(stream, 0.8, quiet);
  std::vector<float> tone(static_cast<std::size_t>(result.facts.rate_hz));
  for (std::size_t i = 0; i < tone.size(); ++i)
    tone[i] =
        kAmplitude * static_cast<float>(std::sin(2.0 * std::numbers::pi * kToneHz *
                                                 static_cast<double>(i) / result.facts.rate_hz));
  stream.write(tone);
  capture(stream, 1.4, loud);
  device.stop();
  result.counters = stream.counters();
  for (const auto* part : {&quiet, &loud})
    for (const float x : *part) result.peak = std::max(result.peak, std::abs(x));
  // The end of the quiet part, and half a second from the middle of the tone wherever it arrived.
  const std::size_t window = tone.size() / 2;
  const std::size_t last = std::min(quiet.size(), window);
  result.quiet_dbfs =
      tone_dbfs(std::span(quiet).subspan(quiet.size() - last), kToneHz, result.facts.rate_hz);
  for (std::size_t at = 0; at + window <= loud.size(); at += window / 10)
    result.beep_dbfs = std::max(result.beep_dbfs, tone_dbfs(std::span(loud).subspan(at, window),
                                                            kToneHz, result.facts.rate_hz));
  result.is_heard = result.beep_dbfs > result.quiet_dbfs + 10.0 && result.beep_dbfs > -80.0;
  return result;
}

std::string beep_text(const BeepResult& result) {
  char text[400];
  std::snprintf(text, sizeof text,
                "microphone %s, speaker %s, %d Hz, %llu callbacks, %llu device faults\n"
                "beep: %s (%.0f dBFS in the microphone, %.0f before)\n",
                result.facts.input_name.c_str(), result.facts.output_name.c_str(),
                result.facts.rate_hz,
                static_cast<unsigned long long>(result.counters.num_callbacks),
                static_cast<unsigned long long>(result.counters.num_device_faults),
                result.is_heard ? "heard" : "not heard", result.beep_dbfs, result.quiet_dbfs);
  std::string lines = text;
  if (result.counters.num_callbacks == 0) {
    lines += "the device gave no audio at all\n";
  } else if (result.peak == 0.0F) {
    lines += "the microphone gave nothing but zeros: is it muted?\n";
  } else if (!result.is_heard) {
    lines += "with headphones that is as it should be; otherwise turn the speaker up\n";
  }
  return lines;
}

}  // namespace duet::audio
