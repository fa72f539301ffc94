#pragma once
// Ogg-Opus to mono samples, as the bytes arrive. RFC 7845 (Ogg encapsulation: headers section 5,
// granule positions and trimming section 4), RFC 6716 (Opus). Follows what clients of Moshi's
// protocol send: any serial number, several packets a page, packets across pages, 2.5 to 120 ms
// packets, granule positions counted at 24 kHz instead of 48 (they are recognised and not used).
// Not supported: mapping families other than one mono or stereo stream; seeking.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "codecs/wire/ogg_reader.h"

namespace duet::wire {

/// What an OpusHead packet says (RFC 7845, section 5.1).
struct OpusHead {
  int num_channels = 0;         ///< 1 or 2; two are mixed down to one.
  int pre_skip = 0;             ///< Samples at 48 kHz to drop at the start.
  uint32_t input_rate_hz = 0;   ///< Of the sender's original; information only.
  double output_gain_db = 0.0;  ///< Applied.
};

/// Throws WireError naming the field; `where` stands for the place in it.
OpusHead parse_opus_head(std::span<const uint8_t> packet, const std::string& where);

/// One thread, one stream at a time. Latency: none beyond the sender's pages; a page's samples come
/// out with its last byte.
class OggOpusDecoder {
 public:
  static constexpr int kRateHz = 24000;

  struct Config {
    size_t max_packet_bytes = 65536;  ///< Comments included; more is refused unread.
    int max_page_ms = 2000;           ///< Audio on one page, 120 to 60000. (opusenc writes 1000.)
    /// Of one call to decode(): 2 bytes may stand for 120 ms, so a message has to be bounded by
    /// what it decodes to. Seconds, 1 to 86400.
    int max_call_s = 120;
    bool accept_chained = true;  ///< A new stream after, or in place of, the old one.
    /// false: any damage is an error. true: see OggReader::Config; an Opus packet that cannot be
    /// decoded is replaced by concealment of the length of the packet before it. Lost pages are not
    /// filled up: the output is shorter by them.
    bool resync = false;
    void validate() const;  ///< Throws core::ConfigError.
  };
  explicit OggOpusDecoder(const Config& config);
  OggOpusDecoder() : OggOpusDecoder(Config()) {}
  ~OggOpusDecoder();
  OggOpusDecoder(OggOpusDecoder&&) noexcept;
  OggOpusDecoder& operator=(OggOpusDecoder&&) noexcept;

  /// Appends the samples of every page that is complete now: mono, 24 kHz, 1.0 is full scale
  /// (louder is possible, as from any lossy codec). The same bytes in other pieces give the same
  /// samples. Throws WireError; what was decoded before the damage has been appended then, and
  /// every later call throws the same until reset().
  void decode(std::span<const uint8_t> bytes, std::vector<float>& samples);
  /// End of input. Throws WireError when it came inside a page or packet or before the two headers.
  /// A missing end-of-stream flag is no error: live clients just close.
  void finish();
  void reset();

  bool has_head() const noexcept;
  const OpusHead& head() const noexcept;    ///< Of the stream that is being read.
  uint64_t num_streams() const noexcept;    ///< Begun so far; more than one when chained.
  uint64_t num_packets() const noexcept;    ///< Audio packets decoded.
  uint64_t num_concealed() const noexcept;  ///< Packets replaced, only with resync.
  uint64_t num_skipped_bytes() const noexcept;
  uint64_t num_gaps() const noexcept;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace duet::wire
