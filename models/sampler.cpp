#include "models/sampler.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>

#include "runtime/core/error.h"

namespace duet::models {
namespace {

void require(bool good, const char* subject, const std::string& expected,
             const std::string& found) {
  if (!good)
    throw core::ConfigError(
        {.subject = subject, .expected = expected, .found = found, .file = {}, .hint = {}});
}

/// 53 random bits in [0, 1): unlike std::uniform_real_distribution the same in every standard
/// library.
double uniform(std::mt19937_64& random) { return static_cast<double>(random() >> 11) * 0x1.0p-53; }

/// `logit` is a function of the index, so that biases need no copy.
template <class Logit>
int64_t draw(int64_t count, Logit logit, double temperature, std::mt19937_64& random) {
  int64_t best = 0;
  double top = -INFINITY;
  for (int64_t i = 0; i < count; ++i) {
    const double value = logit(i);
    if (std::isnan(value)) throw std::runtime_error("logit " + std::to_string(i) + " is NaN");
    if (value > top) {
      top = value;
      best = i;
    }
  }
  if (!std::isfinite(top))
    throw std::runtime_error("no finite logit among " + std::to_string(count));
  if (temperature == 0.0) return best;
  double total = 0.0;
  for (int64_t i = 0; i < count; ++i) total += std::exp((logit(i) - top) / temperature);
  double left = uniform(random) * total;
  for (int64_t i = 0; i < count; ++i) {
    left -= std::exp((logit(i) - top) / temperature);
    if (left < 0.0) return i;
  }
  return best;  // Rounding: the sum fell short of the draw.
}

}  // namespace

void SamplerConfig::validate() const {
  require(temperature >= 0.0 && std::isfinite(temperature), "temperature", "0 (greedy) or above",
          std::to_string(temperature));
  require(std::isfinite(interruptibility), "interruptibility", "a finite value",
          std::to_string(interruptibility));
  require(std::isfinite(eagerness), "eagerness", "a finite value", std::to_string(eagerness));
  require(
      text_bos != text_eos && text_pad != text_bos && text_pad != text_eos, "text ids",
      "three different ids for pad, bos and eos",
      std::to_string(text_pad) + ", " + std::to_string(text_bos) + ", " + std::to_string(text_eos));
}

Sampler::Sampler(const SamplerConfig& config) : config_(config) { config_.validate(); }

Sampler::State Sampler::initial_state() const { return {std::mt19937_64(config_.seed), false}; }

int64_t Sampler::sample_text(std::span<const float> logits, State& state) const {
  const double lean = state.in_turn ? config_.interruptibility : 0.0;
  const double push = state.in_turn ? 0.0 : config_.eagerness;
  const auto logit = [&](int64_t i) {
    const double value = static_cast<double>(logits[static_cast<size_t>(i)]);
    if (i == config_.text_eos) return value + lean;
    if (i == config_.text_bos) return value + push;
    return i == config_.text_pad ? value + 0.5 * lean : value;
  };
  const int64_t token =
      draw(static_cast<int64_t>(logits.size()), logit, config_.temperature, state.random);
  follow(token, state);
  return token;
}

int64_t Sampler::sample_code(std::span<const float> logits, State& state) const {
  const auto logit = [&](int64_t i) { return static_cast<double>(logits[static_cast<size_t>(i)]); };
  return draw(static_cast<int64_t>(logits.size()), logit, config_.temperature, state.random);
}

void Sampler::follow(int64_t text_token, State& state) const {
  if (text_token == config_.text_bos) state.in_turn = true;
  if (text_token == config_.text_eos) state.in_turn = false;
}

ControlCodes::ControlCodes(int64_t num_codes, std::vector<int64_t> silence)
    : num_codes_(num_codes), silence_(std::move(silence)) {
  for (const int64_t code : silence_)
    require(code >= 0 && code < num_codes, "silence_codes",
            "codes below " + std::to_string(num_codes), std::to_string(code));
}

void ControlCodes::replace(std::span<int64_t> codes, State& state) const {
  if (state.first.empty()) state.first.assign(codes.begin(), codes.end());
  const std::vector<int64_t>& stand_in = silence_.empty() ? state.first : silence_;
  DUET_CHECK(stand_in.size() == codes.size());
  for (size_t k = 0; k < codes.size(); ++k)
    if (codes[k] >= num_codes_) codes[k] = stand_in[k];
}

}  // namespace duet::models
