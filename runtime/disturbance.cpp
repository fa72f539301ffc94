#include "runtime/disturbance.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "runtime/activity.h"
#include "runtime/core/error.h"

namespace duet::runtime {

namespace {

constexpr double kVoicePauseSeconds = 1.0;

float gain_of(double db) { return static_cast<float>(std::pow(10.0, db / 20.0)); }

void require_level(const char* name, const std::optional<double>& db) {
  if (!db || std::abs(*db) <= 100.0) return;
  throw core::ConfigError({.subject = name,
                           .expected = "a level of -100 to 100 dB",
                           .found = std::to_string(*db),
                           .file = {},
                           .hint = {}});
}

}  // namespace

void Disturbance::validate() const {
  require_level("noise_snr_db", noise_snr_db);
  require_level("babble_snr_db", babble_snr_db);
  require_level("speaker_db", speaker_db);
  require_level("echo_db", echo_db);
  // The resampler looks 2 ms ahead, and the agent's block is known when the user's next one begins.
  if (echo_delay_ms >= 10.0 && echo_delay_ms <= 10000.0) return;
  throw core::ConfigError({.subject = "echo_delay_ms",
                           .expected = "10 to 10000",
                           .found = std::to_string(echo_delay_ms),
                           .file = {},
                           .hint = {}});
}

double audible_rms(std::span<const float> samples, int rate_hz) {
  double energy = 0.0;
  std::size_t count = 0;
  for (const Segment& segment : find_activity(measure_levels_db(samples, rate_hz)).segments) {
    const auto begin = static_cast<std::size_t>(std::llround(segment.start_s * rate_hz));
    const auto end = static_cast<std::size_t>(std::llround(segment.end_s * rate_hz));
    for (std::size_t i = begin; i < std::min(end, samples.size()); ++i) {
      energy += static_cast<double>(samples[i]) * static_cast<double>(samples[i]);
      ++count;
    }
  }
  return count == 0 ? 0.0 : std::sqrt(energy / static_cast<double>(count));
}

float Disturber::Voice::next() {
  const float sample = samples[at];
  at = (at + 1) % samples.size();
  return sample;
}

Disturber::Disturber(const Disturbance& disturbance, const std::vector<std::vector<float>>& voices,
                     int user_rate_hz, int agent_rate_hz, std::uint64_t seed)
    : disturbance_(disturbance),
      random_(seed),
      to_user_rate_(agent_rate_hz, user_rate_hz),
      user_rate_hz_(user_rate_hz) {
  disturbance.validate();
  std::vector<Voice> all;
  for (const auto& recording : voices) {
    const double rms = audible_rms(recording, user_rate_hz);
    if (rms <= 0.0) continue;
    Voice voice{recording, 0};
    for (float& x : voice.samples) x /= static_cast<float>(rms);
    voice.samples.resize(voice.samples.size() +
                         static_cast<std::size_t>(kVoicePauseSeconds * user_rate_hz));
    voice.at = random_() % voice.samples.size();  // People do not begin together.
    all.push_back(std::move(voice));
  }
  if (all.empty()) return;
  if (disturbance.speaker_db) speaker_ = {all.front()};
  if (disturbance.babble_snr_db) {
    for (std::size_t i = 1; i <= kBabbleVoices; ++i) {
      babble_.push_back(all[i % all.size()]);  // Fewer are used again, at another place of theirs.
      babble_.back().at = random_() % babble_.back().samples.size();
    }
  }
}

// White noise through three one-pole filters: -3 dB an octave within 0.5 dB (Paul Kellet's economy
// method), RMS 1.
float Disturber::pink() {
  constexpr float kUnitRms = 1.0F / 1.63F;  // RMS of the sum for noise uniform in [-1, 1].
  const auto white = static_cast<float>(static_cast<double>(random_() >> 11) * 0x1.0p-52 - 1.0);
  pink_state_[0] = 0.99765F * pink_state_[0] + white * 0.0990460F;
  pink_state_[1] = 0.96300F * pink_state_[1] + white * 0.2965164F;
  pink_state_[2] = 0.57000F * pink_state_[2] + white * 1.0526913F;
  return kUnitRms * (pink_state_[0] + pink_state_[1] + pink_state_[2] + white * 0.1848F);
}

/// All but the echo, of a user with RMS 1.
float Disturber::others() {
  float sum = 0.0F;
  if (disturbance_.noise_snr_db) sum += gain_of(-*disturbance_.noise_snr_db) * pink();
  for (Voice& voice : speaker_) sum += gain_of(*disturbance_.speaker_db) * voice.next();
  float babble = 0.0F;
  for (Voice& voice : babble_) babble += voice.next();
  if (!babble_.empty())
    sum += gain_of(-*disturbance_.babble_snr_db) * babble /
           std::sqrt(static_cast<float>(babble_.size()));
  return sum;
}

void Disturber::process(std::span<float> user) {
  const auto delay =
      static_cast<std::size_t>(std::llround(disturbance_.echo_delay_ms * user_rate_hz_ / 1000.0));
  const float echo = disturbance_.echo_db ? gain_of(*disturbance_.echo_db) : 0.0F;
  for (float& x : user) {
    if (user_rms_ > 0.0) x += static_cast<float>(user_rms_) * others();
    if (num_samples_ >= delay && num_samples_ - delay < agent_.size())
      x += echo * agent_[num_samples_ - delay];
    x = std::clamp(x, -1.0F, 1.0F);
    ++num_samples_;
  }
}

void Disturber::hear_agent(std::span<const float> pcm) {
  if (disturbance_.echo_db) to_user_rate_.process(pcm, agent_);
}

}  // namespace duet::runtime
