#pragma once
// Mono samples to an Ogg-Opus stream, page by page, for live use. RFC 7845: headers section 5,
// granule positions in 48 kHz samples with the encoder's delay as pre-skip and the end trimmed
// (section 4), so that a player gets exactly the samples that went in. Pages are one packet each as
// Moshi's server writes them, unless told otherwise.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace duet::wire {

/// One thread. Latency: up to a page of buffering plus pre_skip() (6.5 ms with libopus at 24 kHz).
class OggOpusEncoder {
 public:
  static constexpr int kRateHz = 24000;

  struct Config {
    int packet_ms = 20;        ///< 5, 10, 20, 40 or 60.
    int packets_per_page = 1;  ///< packet_ms * packets_per_page at most 80, so that no step waits.
    int bitrate_bps = 32000;   ///< 6000 to 256000.
    int complexity = 5;        ///< 0 to 10, libopus' scale; more costs CPU.
    uint32_t serial = 42;      ///< Of the Ogg stream.
    std::string vendor = "duet";  ///< In the comment header; at most 1000 bytes.
    void validate() const;        ///< Throws core::ConfigError.
  };
  explicit OggOpusEncoder(const Config& config);
  OggOpusEncoder() : OggOpusEncoder(Config()) {}
  ~OggOpusEncoder();
  OggOpusEncoder(OggOpusEncoder&&) noexcept;
  OggOpusEncoder& operator=(OggOpusEncoder&&) noexcept;

  /// Samples at 48 kHz that a decoder drops at the start.
  int pre_skip() const noexcept;
  /// Takes 24 kHz samples, 1.0 full scale (louder is clipped, NaN is silence), and appends every
  /// page that they fill to `bytes`; the two header pages come before the first of them, or with
  /// the first call even when nothing is full yet.
  void encode(std::span<const float> samples, std::vector<uint8_t>& bytes);
  /// End of stream: what is left, padded inside and trimmed by its granule position, with the
  /// end-of-stream flag. Nothing may be encoded afterwards until reset().
  void finish(std::vector<uint8_t>& bytes);
  void reset();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace duet::wire
