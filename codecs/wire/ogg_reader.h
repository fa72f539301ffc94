#pragma once
// Ogg pages from a stream of bytes cut anywhere. RFC 3533, section 6 (page layout, lacing,
// checksum). Written out rather than taken from libogg, because libogg skips damage silently and
// cannot say where it was; the tests hold it against libogg. Not supported: several logical streams
// at once (multiplexing), which no Opus client sends. Chained streams, one after another, are.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "codecs/wire/wire_error.h"

namespace duet::wire {

/// The checksum of RFC 3533, section 6: polynomial 0x04c11db7, not reflected, start and end 0. In a
/// page it is computed with the four bytes of its own field (22 to 25) zero.
uint32_t ogg_checksum(std::span<const uint8_t> bytes, uint32_t start = 0) noexcept;

/// One page and the packets that end on it.
struct OggPage {
  uint64_t offset = 0;    ///< Bytes of the stream before this page.
  uint64_t index = 0;     ///< Pages before this one.
  uint32_t serial = 0;    ///< Of its logical stream.
  uint32_t sequence = 0;  ///< As written by the sender; not checked, but see num_gaps().
  int64_t granule = 0;    ///< Position at the end of its last packet; -1: no packet ends on it.
  bool begins_stream = false;
  bool ends_stream = false;
  std::vector<std::span<const uint8_t>> packets;  ///< Valid until the next pop() or push().
};

/// One thread. Memory: what was pushed and not popped, one page (65307 bytes) and one packet.
class OggReader {
 public:
  struct Config {
    size_t max_packet_bytes = 65536;  ///< Comment headers included. 1 to 2^27.
    /// false: any damage is an error. true: damaged pages and fragments are skipped and counted,
    /// reading goes on at the next page; an oversized packet stays an error.
    bool resync = false;
    /// Damaged places in all before resync gives up with an error: each may cost the checksum of a
    /// whole page, so that bytes made for it could keep a processor busy.
    int max_damaged = 1000;
    void validate() const;  ///< Throws core::ConfigError.
  };
  explicit OggReader(const Config& config);
  OggReader() : OggReader(Config()) {}

  void push(std::span<const uint8_t> bytes);
  /// The next whole page; false when more bytes are needed. Throws WireError (checksum, version,
  /// serial number, continuation, packet size) naming the byte; from then on it throws the same
  /// again until reset().
  bool pop(OggPage& page);
  /// End of input: throws WireError when it came inside a page or inside a packet.
  void finish();
  void reset();

  uint64_t num_skipped_bytes() const noexcept { return num_skipped_bytes_; }  ///< Only with resync.
  /// Places where the sender's page numbers jump: pages lost before they came here.
  uint64_t num_gaps() const noexcept { return num_gaps_; }

 private:
  bool damaged(const std::string& subject, const std::string& expected, const std::string& found,
               uint64_t offset);
  [[noreturn]] void fail(const std::string& subject, const std::string& expected,
                         const std::string& found, uint64_t offset);
  bool find_page();
  void skip(size_t num_bytes);
  bool take(OggPage& page, std::span<const uint8_t> bytes);

  Config config_;
  std::vector<uint8_t> buffer_;  // From begin_ on: bytes not yet taken.
  size_t begin_ = 0;
  uint64_t offset_ = 0;  // Stream position of buffer_[begin_].
  uint64_t num_pages_ = 0;
  uint64_t num_skipped_bytes_ = 0;
  uint64_t num_gaps_ = 0;
  int num_damaged_ = 0;
  bool is_searching_ = false;     // Between a damaged place and the next page; only with resync.
  std::vector<uint8_t> partial_;  // The packet that goes on on the next page.
  bool has_partial_ = false;
  bool in_stream_ = false;
  uint32_t serial_ = 0;
  uint32_t next_sequence_ = 0;
  std::vector<uint8_t> packet_bytes_;  // Where the packets of the last page lie.
  std::optional<WireError> error_;
};

}  // namespace duet::wire
