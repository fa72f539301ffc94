#include "codecs/wire/ogg_reader.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>

namespace duet::wire {
namespace {

constexpr size_t kHeaderBytes = 27;
constexpr uint8_t kCapture[4] = {'O', 'g', 'g', 'S'};
constexpr uint8_t kPageContinues = 1, kPageBegins = 2, kPageEnds = 4;

constexpr std::array<uint32_t, 256> make_table() {
  std::array<uint32_t, 256> table{};
  for (uint32_t byte = 0; byte < 256; ++byte) {
    uint32_t value = byte << 24;
    for (int bit = 0; bit < 8; ++bit)
      value = (value << 1) ^ ((value & 0x80000000u) != 0 ? 0x04c11db7u : 0u);
    table[byte] = value;
  }
  return table;
}
constexpr std::array<uint32_t, 256> kTable = make_table();

uint32_t read_u32(const uint8_t* bytes) {
  return bytes[0] | uint32_t(bytes[1]) << 8 | uint32_t(bytes[2]) << 16 | uint32_t(bytes[3]) << 24;
}

int64_t read_i64(const uint8_t* bytes) {
  return static_cast<int64_t>(read_u32(bytes) | uint64_t(read_u32(bytes + 4)) << 32);
}

std::string hex(uint32_t value) {
  char text[16];
  std::snprintf(text, sizeof text, "0x%08x", value);
  return text;
}

}  // namespace

uint32_t ogg_checksum(std::span<const uint8_t> bytes, uint32_t start) noexcept {
  for (const uint8_t byte : bytes) start = (start << 8) ^ kTable[((start >> 24) ^ byte) & 0xff];
  return start;
}

void OggReader::Config::validate() const {
  if (max_packet_bytes < 1 || max_packet_bytes > (size_t{1} << 27))
    throw core::ConfigError({.subject = "max_packet_bytes",
                             .expected = "1 to 134217728",
                             .found = std::to_string(max_packet_bytes)});
  if (max_damaged < 0)
    throw core::ConfigError(
        {.subject = "max_damaged", .expected = "0 or more", .found = std::to_string(max_damaged)});
}

OggReader::OggReader(const Config& config) : config_(config) { config_.validate(); }

void OggReader::reset() { *this = OggReader(config_); }

void OggReader::push(std::span<const uint8_t> bytes) {
  buffer_.erase(buffer_.begin(), buffer_.begin() + static_cast<std::ptrdiff_t>(begin_));
  begin_ = 0;
  buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
}

void OggReader::fail(const std::string& subject, const std::string& expected,
                     const std::string& found, uint64_t offset) {
  error_.emplace(core::ErrorDetail{.subject = subject,
                                   .expected = expected,
                                   .found = found,
                                   .file = "Ogg stream, byte " + std::to_string(offset) +
                                           ", page " + std::to_string(num_pages_)});
  throw *error_;
}

// Strict: throws. With resync: returns false, and the caller skips what is damaged.
bool OggReader::damaged(const std::string& subject, const std::string& expected,
                        const std::string& found, uint64_t offset) {
  if (!config_.resync) fail(subject, expected, found, offset);
  if (++num_damaged_ > config_.max_damaged)
    fail("Ogg stream", "at most " + std::to_string(config_.max_damaged) + " damaged places", "more",
         offset);
  return false;
}

void OggReader::skip(size_t num_bytes) {
  begin_ += num_bytes;
  offset_ += num_bytes;
  num_skipped_bytes_ += num_bytes;
}

// Brings begin_ to a capture pattern; false when there are not enough bytes to tell.
bool OggReader::find_page() {
  const size_t available = buffer_.size() - begin_;
  if (available < sizeof kCapture) return false;
  if (std::equal(std::begin(kCapture), std::end(kCapture), buffer_.data() + begin_)) {
    is_searching_ = false;
    return true;
  }
  if (!is_searching_) {  // Once a place, however many pieces the search takes.
    char found[16];
    const uint8_t* bytes = buffer_.data() + begin_;
    std::snprintf(found, sizeof found, "%02x %02x %02x %02x", bytes[0], bytes[1], bytes[2],
                  bytes[3]);
    damaged("Ogg page", "the bytes 4f 67 67 53 (\"OggS\")", found, offset_);
    is_searching_ = true;
  }
  const auto end = buffer_.end();
  const auto begin = buffer_.begin() + static_cast<std::ptrdiff_t>(begin_);
  const auto at = std::search(begin, end, std::begin(kCapture), std::end(kCapture));
  if (at == end) {
    skip(available - (sizeof kCapture - 1));  // The pattern may be cut at the end.
    return false;
  }
  skip(static_cast<size_t>(at - begin));
  is_searching_ = false;
  return true;
}

bool OggReader::pop(OggPage& page) {
  if (error_) throw *error_;
  page.packets.clear();
  while (find_page()) {
    const size_t available = buffer_.size() - begin_;
    if (available < kHeaderBytes) return false;
    const uint8_t* bytes = buffer_.data() + begin_;
    if (bytes[4] != 0) {
      damaged("Ogg version", "0", std::to_string(bytes[4]), offset_ + 4);
      skip(1);
      continue;
    }
    const size_t num_segments = bytes[26];
    if (available < kHeaderBytes + num_segments) return false;
    size_t page_bytes = kHeaderBytes + num_segments;
    for (size_t i = 0; i < num_segments; ++i) page_bytes += bytes[kHeaderBytes + i];
    if (available < page_bytes) return false;

    const uint32_t want = read_u32(bytes + 22);
    const uint8_t zeros[4] = {};
    uint32_t got = ogg_checksum({bytes, 22});
    got = ogg_checksum(zeros, got);
    got = ogg_checksum({bytes + 26, page_bytes - 26}, got);
    if (got != want) {
      damaged("Ogg page checksum", hex(got) + " over its " + std::to_string(page_bytes) + " bytes",
              hex(want), offset_ + 22);
      skip(1);
      continue;
    }
    page.offset = offset_;
    page.index = num_pages_;
    const bool taken = take(page, {bytes, page_bytes});
    begin_ += page_bytes;
    offset_ += page_bytes;
    if (!taken) {
      num_skipped_bytes_ += page_bytes;
      continue;
    }
    ++num_pages_;
    return true;
  }
  return false;
}

// A page with a right checksum: belongs here, and its packets. False: skipped (resync only).
bool OggReader::take(OggPage& page, std::span<const uint8_t> bytes) {
  const uint8_t flags = bytes[5];
  page.begins_stream = (flags & kPageBegins) != 0;
  page.ends_stream = (flags & kPageEnds) != 0;
  page.granule = read_i64(&bytes[6]);
  page.serial = read_u32(&bytes[14]);
  page.sequence = read_u32(&bytes[18]);
  if (!page.begins_stream) {
    if (!in_stream_)
      return damaged("Ogg page", "the first page of a stream (flag 2)",
                     "flags " + std::to_string(flags), offset_ + 5);
    if (page.serial != serial_)
      return damaged("Ogg stream serial number", hex(serial_), hex(page.serial), offset_ + 14);
    if (page.sequence != next_sequence_) ++num_gaps_;
  }
  const bool continued = (flags & kPageContinues) != 0;
  bool drop_first = false;
  if (has_partial_ && (!continued || page.begins_stream)) {
    damaged("Ogg page", "the rest of the packet that the page before began", "a new packet",
            offset_ + 5);
    partial_.clear();
    has_partial_ = false;
  }
  if (continued && !has_partial_) {
    damaged("Ogg page", "a page that begins with a new packet",
            "the rest of a packet that never began", offset_ + 5);
    drop_first = true;
  }
  in_stream_ = true;
  serial_ = page.serial;
  next_sequence_ = page.sequence + 1;

  packet_bytes_.swap(partial_);
  partial_.clear();
  std::vector<std::pair<size_t, size_t>> ranges;  // Begin and end of each packet in packet_bytes_.
  const size_t num_segments = bytes[26];
  const uint8_t* body = bytes.data() + kHeaderBytes + num_segments;
  size_t packet_begin = 0;
  bool open = has_partial_;
  for (size_t i = 0; i < num_segments; ++i) {
    const size_t size = bytes[kHeaderBytes + i];
    packet_bytes_.insert(packet_bytes_.end(), body, body + size);
    body += size;
    open = true;
    if (packet_bytes_.size() - packet_begin > config_.max_packet_bytes)
      fail("Ogg packet", "at most " + std::to_string(config_.max_packet_bytes) + " bytes", "more",
           offset_ + static_cast<uint64_t>(body - bytes.data()));
    if (size == 255) continue;  // Goes on in the next segment.
    if (!drop_first) ranges.emplace_back(packet_begin, packet_bytes_.size());
    drop_first = false;
    packet_begin = packet_bytes_.size();
    open = false;
  }
  has_partial_ = open && !drop_first;
  if (has_partial_)
    partial_.assign(packet_bytes_.begin() + static_cast<std::ptrdiff_t>(packet_begin),
                    packet_bytes_.end());
  for (const auto& [from, to] : ranges)
    page.packets.emplace_back(packet_bytes_.data() + from, to - from);
  return true;
}

void OggReader::finish() {
  if (error_) throw *error_;
  const size_t rest = buffer_.size() - begin_;
  if (rest > 0 && !config_.resync)
    fail("Ogg stream", "an end after a whole page",
         std::to_string(rest) + " bytes of an unfinished page", offset_);
  if (has_partial_ && !config_.resync)
    fail("Ogg stream", "an end after a whole packet",
         std::to_string(partial_.size()) + " bytes of an unfinished packet", offset_);
}

}  // namespace duet::wire
