#pragma once
// The last resort: notices that the echo gets through whatever the canceller does, and then shuts
// the microphone while the agent speaks. That costs interruptions, so the user is told.

#include <cstddef>
#include <span>
#include <vector>

namespace duet::audio {

/// Compares the envelope of what is left in the microphone with that of what is played, over 4 s
/// and all delays up to 1 s: a person talking over the agent does not follow its syllables, an echo
/// does. One thread; no allocation after construction.
class HalfDuplexGuard {
 public:
  static constexpr std::size_t kBlock = 128;  ///< 8 ms at 16 kHz.

  struct Config {
    bool is_enabled = true;
    double fail_correlation = 0.7;     ///< Above it the echo gets through ...
    double recover_correlation = 0.4;  ///< ... and below it no more.
    double min_residual_dbfs = -58.0;  ///< Quieter echoes are nobody's concern.
  };

  HalfDuplexGuard() : HalfDuplexGuard(Config{}) {}
  explicit HalfDuplexGuard(const Config& config);

  /// One block of what was played and, in place, of the cleaned microphone.
  void process(std::span<const float> far, std::span<float> near);
  bool is_half_duplex() const noexcept { return is_half_duplex_; }
  /// Of the last comparison; 0 while too little was played for one.
  double correlation() const noexcept { return correlation_; }
  void reset();

 private:
  static constexpr std::size_t kWindow = 500;  // Blocks; 4 s.
  static constexpr std::size_t kMaxLag = 125;  // Blocks; 1 s.
  static constexpr std::size_t kRing = 1024;
  void compare();
  double correlate(std::size_t lag) const;

  Config config_;
  std::vector<float> far_db_, near_db_;  // [kRing]
  std::size_t num_blocks_ = 0;
  int num_failing_ = 0;
  int num_good_ = 0;
  int hold_ = 0;  // Blocks until the microphone opens.
  float gain_ = 1.0F;
  double correlation_ = 0.0;
  bool is_half_duplex_ = false;
};

}  // namespace duet::audio
