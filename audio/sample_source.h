#pragma once
// Where mono samples come from: a file, a pipe, memory. Reading may block; one reader.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace duet::audio {

class SampleSource {
 public:
  virtual ~SampleSource() = default;
  virtual int rate_hz() const noexcept = 0;
  /// Fills the front of `out` with the next samples, in [-1, 1] nominally; returns how many (0: the
  /// end). Throws core::LoadError when the data turns out to be damaged.
  virtual std::size_t read(std::span<float> out) = 0;
  /// Total length where it is known beforehand.
  virtual std::optional<std::int64_t> num_samples() const noexcept = 0;
  /// For messages: a path, "standard input".
  virtual const std::string& name() const noexcept = 0;
};

/// Samples in memory.
class MemorySource : public SampleSource {
 public:
  MemorySource(std::vector<float> samples, int rate_hz, std::string name = "memory");
  int rate_hz() const noexcept override { return rate_hz_; }
  std::size_t read(std::span<float> out) override;
  std::optional<std::int64_t> num_samples() const noexcept override;
  const std::string& name() const noexcept override { return name_; }

 private:
  std::vector<float> samples_;
  int rate_hz_;
  std::string name_;
  std::size_t position_ = 0;
};

/// Headerless signed 16-bit little-endian mono samples from a file descriptor (a pipe, a terminal's
/// stdin).
class RawPcmSource : public SampleSource {
 public:
  /// Does not own `fd`. `stop`, when given, is polled at least every 100 ms while waiting: true
  /// ends the stream.
  RawPcmSource(int fd, int rate_hz, std::string name, bool (*stop)() = nullptr);
  int rate_hz() const noexcept override { return rate_hz_; }
  /// Returns as soon as anything is there. A single odd byte at the end is dropped. Throws
  /// core::LoadError when a read fails, when the stream starts with a RIFF, fLaC or OggS header
  /// instead of samples, or is empty.
  std::size_t read(std::span<float> out) override;
  std::optional<std::int64_t> num_samples() const noexcept override { return std::nullopt; }
  const std::string& name() const noexcept override { return name_; }

 private:
  std::size_t fill();
  void check_start() const;

  int fd_;
  int rate_hz_;
  std::string name_;
  bool (*stop_)();
  std::vector<unsigned char> bytes_;
  bool is_first_ = true;
};

}  // namespace duet::audio
