#include "audio/half_duplex_guard.h"

#include <algorithm>
#include <cmath>

#include "runtime/core/error.h"

namespace duet::audio {

namespace {

constexpr float kFloorDb = -65.0F;
/// The agent is heard.
constexpr float kFarActiveDb = -50.0F;
constexpr std::size_t kBetween = 62;  // Blocks between comparisons; 0.5 s.
/// So many comparisons in a row decide: 1.5 s to shut, 4 s to open.
constexpr int kToFail = 3;
constexpr int kToRecover = 8;
/// Share of the window in which the agent must be heard for a comparison to mean anything.
constexpr double kMinActive = 0.3;
/// After the agent fell silent: any device's delay and a room's tail.
constexpr int kGuardHoldBlocks = 75;  // 0.6 s
constexpr float kFade = 1.0F / HalfDuplexGuard::kBlock;

float level_db(std::span<const float> x) {
  double energy = 1e-12;
  for (const float v : x) energy += static_cast<double>(v) * static_cast<double>(v);
  return std::max(kFloorDb,
                  static_cast<float>(10.0 * std::log10(energy / static_cast<double>(x.size()))));
}

}  // namespace

HalfDuplexGuard::HalfDuplexGuard(const Config& config)
    : config_(config), far_db_(kRing), near_db_(kRing) {
  reset();
}

void HalfDuplexGuard::reset() {
  std::fill(far_db_.begin(), far_db_.end(), kFloorDb);
  std::fill(near_db_.begin(), near_db_.end(), kFloorDb);
  num_blocks_ = 0;
  num_failing_ = num_good_ = hold_ = 0;
  gain_ = 1.0F;
  correlation_ = 0.0;
  is_half_duplex_ = false;
}

void HalfDuplexGuard::process(std::span<const float> far, std::span<float> near) {
  DUET_CHECK(far.size() == kBlock && near.size() == kBlock);
  const std::size_t at = num_blocks_ % kRing;
  far_db_[at] = level_db(far);
  near_db_[at] = level_db(near);
  ++num_blocks_;
  if (config_.is_enabled && num_blocks_ % kBetween == 0) compare();
  hold_ = far_db_[at] > kFarActiveDb ? kGuardHoldBlocks : std::max(0, hold_ - 1);
  const float target = is_half_duplex_ && hold_ > 0 ? 0.0F : 1.0F;
  for (float& x : near) {
    gain_ = gain_ < target ? std::min(gain_ + kFade, target) : std::max(gain_ - kFade, target);
    x *= gain_;
  }
}

double HalfDuplexGuard::correlate(std::size_t lag) const {
  double sum_f = 0.0, sum_n = 0.0, ff = 0.0, nn = 0.0, fn = 0.0;
  for (std::size_t i = 1; i <= kWindow; ++i) {
    const auto n = static_cast<double>(near_db_[(num_blocks_ - i) % kRing]);
    const auto f = static_cast<double>(far_db_[(num_blocks_ + kRing - i - lag) % kRing]);
    sum_f += f, sum_n += n, ff += f * f, nn += n * n, fn += f * n;
  }
  const double count = kWindow;
  const double var_f = ff - sum_f * sum_f / count;
  const double var_n = nn - sum_n * sum_n / count;
  // An envelope that hardly moves says nothing: 3 dB of deviation.
  if (var_f < 9.0 * count || var_n < 9.0 * count) return 0.0;
  return (fn - sum_f * sum_n / count) / std::sqrt(var_f * var_n);
}

void HalfDuplexGuard::compare() {
  if (num_blocks_ < kWindow + kMaxLag) return;
  std::size_t num_active = 0;
  double loudest = -200.0;
  for (std::size_t i = 1; i <= kWindow; ++i) {
    num_active += far_db_[(num_blocks_ - i) % kRing] > kFarActiveDb;
    loudest = std::max(loudest, static_cast<double>(near_db_[(num_blocks_ - i) % kRing]));
  }
  correlation_ = 0.0;
  if (static_cast<double>(num_active) < kMinActive * kWindow) return;
  for (std::size_t lag = 0; lag <= kMaxLag; ++lag)
    correlation_ = std::max(correlation_, correlate(lag));
  const bool is_failing =
      correlation_ > config_.fail_correlation && loudest > config_.min_residual_dbfs;
  num_failing_ = is_failing ? num_failing_ + 1 : 0;
  num_good_ = correlation_ < config_.recover_correlation ? num_good_ + 1 : 0;
  if (!is_half_duplex_ && num_failing_ >= kToFail) is_half_duplex_ = true;
  if (is_half_duplex_ && num_good_ >= kToRecover) is_half_duplex_ = false;
}

}  // namespace duet::audio
