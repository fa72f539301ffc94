#include "codecs/wire/ogg_opus_encoder.h"

#include <opus/opus.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "codecs/wire/ogg_reader.h"

namespace duet::wire {
namespace {

constexpr size_t kMaxPacketBytes = 1275 * 3;  // RFC 6716: 1275 bytes a frame, 60 ms hold three.
constexpr uint8_t kBegins = 2, kEnds = 4;

struct EncoderDeleter {
  void operator()(OpusEncoder* encoder) const noexcept { opus_encoder_destroy(encoder); }
};

void put(std::vector<uint8_t>& bytes, uint64_t value, int num_bytes) {
  for (int i = 0; i < num_bytes; ++i) bytes.push_back(static_cast<uint8_t>(value >> (8 * i)));
}

void put(std::vector<uint8_t>& bytes, std::string_view text) {
  bytes.insert(bytes.end(), text.begin(), text.end());
}

void check_range(const char* subject, int value, int low, int high) {
  if (value < low || value > high)
    throw core::ConfigError({.subject = subject,
                             .expected = std::to_string(low) + " to " + std::to_string(high),
                             .found = std::to_string(value)});
}

}  // namespace

void OggOpusEncoder::Config::validate() const {
  constexpr std::array kPacketMs = {5, 10, 20, 40, 60};
  if (std::find(kPacketMs.begin(), kPacketMs.end(), packet_ms) == kPacketMs.end())
    throw core::ConfigError({.subject = "packet_ms",
                             .expected = "5, 10, 20, 40 or 60",
                             .found = std::to_string(packet_ms)});
  check_range("packets_per_page", packets_per_page, 1, 80 / packet_ms);
  check_range("bitrate_bps", bitrate_bps, 6000, 256000);
  check_range("complexity", complexity, 0, 10);
  check_range("bytes of vendor", static_cast<int>(std::min<size_t>(vendor.size(), 1 << 20)), 0,
              1000);
}

struct OggOpusEncoder::Impl {
  explicit Impl(const Config& settings) : config(settings) {
    int status = OPUS_OK;
    encoder.reset(opus_encoder_create(kRateHz, 1, OPUS_APPLICATION_VOIP, &status));
    DUET_CHECK_MSG(status == OPUS_OK, opus_strerror(status));
    DUET_CHECK(opus_encoder_ctl(encoder.get(), OPUS_SET_BITRATE(config.bitrate_bps)) == OPUS_OK);
    DUET_CHECK(opus_encoder_ctl(encoder.get(), OPUS_SET_COMPLEXITY(config.complexity)) == OPUS_OK);
    opus_int32 lookahead = 0;  // At the encoder's rate; pre-skip is at 48 kHz.
    DUET_CHECK(opus_encoder_ctl(encoder.get(), OPUS_GET_LOOKAHEAD(&lookahead)) == OPUS_OK);
    pre_skip = lookahead * 2;
    packet_samples = static_cast<size_t>(config.packet_ms) * kRateHz / 1000;
  }

  Config config;
  std::unique_ptr<OpusEncoder, EncoderDeleter> encoder;
  int pre_skip = 0;
  size_t packet_samples = 0;
  std::vector<float> pending;
  std::vector<uint8_t> packet = std::vector<uint8_t>(kMaxPacketBytes);
  std::vector<uint8_t> lacing, body;  // Of the page being filled.
  int num_on_page = 0;
  bool has_headers = false, is_finished = false;
  uint32_t sequence = 0;
  int64_t num_samples = 0;  // Taken from the caller.
  int64_t num_encoded = 0;  // In packets, padding included.

  void add_packet(std::span<const uint8_t> data) {
    for (size_t left = data.size();; left -= 255) {
      lacing.push_back(static_cast<uint8_t>(std::min<size_t>(left, 255)));
      if (left < 255) break;
    }
    body.insert(body.end(), data.begin(), data.end());
    ++num_on_page;
  }

  void write_page(int64_t granule, uint8_t flags, std::vector<uint8_t>& bytes) {
    const size_t begin = bytes.size();
    put(bytes, "OggS");
    put(bytes, 0, 1);
    put(bytes, flags, 1);
    put(bytes, static_cast<uint64_t>(granule), 8);
    put(bytes, config.serial, 4);
    put(bytes, sequence++, 4);
    put(bytes, 0, 4);
    DUET_CHECK(lacing.size() <= 255);
    put(bytes, lacing.size(), 1);
    bytes.insert(bytes.end(), lacing.begin(), lacing.end());
    bytes.insert(bytes.end(), body.begin(), body.end());
    const uint32_t checksum = ogg_checksum(std::span(bytes).subspan(begin));
    for (size_t i = 0; i < 4; ++i)
      bytes[begin + 22 + i] = static_cast<uint8_t>(checksum >> (8 * i));
    lacing.clear();
    body.clear();
    num_on_page = 0;
  }

  void write_headers(std::vector<uint8_t>& bytes) {
    if (has_headers) return;
    has_headers = true;
    std::vector<uint8_t> header;
    put(header, "OpusHead");
    put(header, 1, 1);  // Version.
    put(header, 1, 1);  // Channels.
    put(header, static_cast<uint64_t>(pre_skip), 2);
    put(header, kRateHz, 4);
    put(header, 0, 2);  // Gain.
    put(header, 0, 1);  // Mapping family.
    add_packet(header);
    write_page(0, kBegins, bytes);
    header.clear();
    put(header, "OpusTags");
    put(header, config.vendor.size(), 4);
    put(header, config.vendor);
    put(header, 0, 4);  // No comments.
    add_packet(header);
    write_page(0, 0, bytes);
  }

  void encode_packet(std::span<const float> samples) {
    const int size =
        opus_encode_float(encoder.get(), samples.data(), static_cast<int>(samples.size()),
                          packet.data(), static_cast<opus_int32>(packet.size()));
    DUET_CHECK_MSG(size > 0, opus_strerror(size));
    add_packet({packet.data(), static_cast<size_t>(size)});
    num_encoded += static_cast<int64_t>(samples.size());
  }

  void encode(std::span<const float> samples, std::vector<uint8_t>& bytes) {
    DUET_CHECK(!is_finished);
    write_headers(bytes);
    for (const float sample : samples)
      pending.push_back(sample >= -1.0f ? std::min(sample, 1.0f) : sample < -1.0f ? -1.0f : 0.0f);
    num_samples += static_cast<int64_t>(samples.size());
    size_t begin = 0;
    for (; pending.size() - begin >= packet_samples; begin += packet_samples) {
      encode_packet(std::span(pending).subspan(begin, packet_samples));
      if (num_on_page == config.packets_per_page) write_page(num_encoded * 2, 0, bytes);
    }
    pending.erase(pending.begin(), pending.begin() + static_cast<std::ptrdiff_t>(begin));
  }

  void finish(std::vector<uint8_t>& bytes) {
    DUET_CHECK(!is_finished);
    write_headers(bytes);
    // The decoder is pre_skip behind: it has to be given as much again to let out the end.
    const int64_t end_48k = num_samples * 2 + pre_skip;
    while (num_encoded * 2 < end_48k) {
      if (num_on_page == config.packets_per_page) write_page(num_encoded * 2, 0, bytes);
      pending.resize(std::max(pending.size(), packet_samples));
      encode_packet(std::span(pending).first(packet_samples));
      pending.erase(pending.begin(), pending.begin() + static_cast<std::ptrdiff_t>(packet_samples));
    }
    write_page(end_48k, kEnds, bytes);
    is_finished = true;
  }
};

OggOpusEncoder::OggOpusEncoder(const Config& config) {
  config.validate();
  impl_ = std::make_unique<Impl>(config);
}
OggOpusEncoder::~OggOpusEncoder() = default;
OggOpusEncoder::OggOpusEncoder(OggOpusEncoder&&) noexcept = default;
OggOpusEncoder& OggOpusEncoder::operator=(OggOpusEncoder&&) noexcept = default;

int OggOpusEncoder::pre_skip() const noexcept { return impl_->pre_skip; }
void OggOpusEncoder::encode(std::span<const float> samples, std::vector<uint8_t>& bytes) {
  impl_->encode(samples, bytes);
}
void OggOpusEncoder::finish(std::vector<uint8_t>& bytes) { impl_->finish(bytes); }
void OggOpusEncoder::reset() { impl_ = std::make_unique<Impl>(impl_->config); }

}  // namespace duet::wire
