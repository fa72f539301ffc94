#include "codecs/wire/ogg_opus_decoder.h"

#include <opus/opus.h>

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>
#include <utility>

namespace duet::wire {
namespace {

constexpr int kMaxPacketSamples = OggOpusDecoder::kRateHz * 120 / 1000;

bool begins_with(std::span<const uint8_t> packet, std::string_view magic) {
  return packet.size() >= magic.size() && std::equal(magic.begin(), magic.end(), packet.begin());
}

std::string place(const OggPage& page) {
  return "Ogg stream, byte " + std::to_string(page.offset) + ", page " + std::to_string(page.index);
}

struct DecoderDeleter {
  void operator()(OpusDecoder* decoder) const noexcept { opus_decoder_destroy(decoder); }
};

// Sample n of the decoder's 24 kHz output stands at 2n on the granules' 48 kHz clock.
int64_t first_sample_at(int64_t position_48k) { return position_48k / 2 + position_48k % 2; }

}  // namespace

OpusHead parse_opus_head(std::span<const uint8_t> packet, const std::string& where) {
  const auto fail = [&](const char* subject, const std::string& expected,
                        const std::string& found) {
    throw WireError({.subject = subject, .expected = expected, .found = found, .file = where});
  };
  if (!begins_with(packet, "OpusHead"))
    fail("Ogg stream", "an Opus stream (first packet \"OpusHead\")",
         packet.empty() ? "an empty packet" : "another kind of packet");
  if (packet.size() < 19)
    fail("OpusHead", "at least 19 bytes", std::to_string(packet.size()) + " bytes");
  if (packet[8] >= 16)  // RFC 7845, 5.1: 0 to 15 are compatible.
    fail("OpusHead version", "0 to 15", std::to_string(packet[8]));
  OpusHead head;
  head.num_channels = packet[9];
  head.pre_skip = packet[10] | packet[11] << 8;
  head.input_rate_hz = packet[12] | uint32_t(packet[13]) << 8 | uint32_t(packet[14]) << 16 |
                       uint32_t(packet[15]) << 24;
  // Q7.8 decibels.
  head.output_gain_db = static_cast<int16_t>(packet[16] | packet[17] << 8) / 256.0;
  if (head.num_channels < 1 || head.num_channels > 2)
    fail("OpusHead channels", "1 or 2", std::to_string(head.num_channels));
  const int family = packet[18];
  if (family > 1)
    fail("OpusHead channel mapping family", "0 or 1 (one mono or stereo stream)",
         std::to_string(family));
  if (family == 1) {  // The table of section 5.1.1 must say: one stream, coupled when stereo.
    if (packet.size() < 21u + static_cast<size_t>(head.num_channels))
      fail("OpusHead", std::to_string(21 + head.num_channels) + " bytes for its mapping table",
           std::to_string(packet.size()) + " bytes");
    if (packet[19] != 1 || packet[20] != head.num_channels - 1)
      fail("OpusHead streams", "1, of which coupled " + std::to_string(head.num_channels - 1),
           std::to_string(packet[19]) + ", of which coupled " + std::to_string(packet[20]));
  }
  return head;
}

void OggOpusDecoder::Config::validate() const {
  OggReader::Config{.max_packet_bytes = max_packet_bytes, .resync = resync}.validate();
  if (max_page_ms < 120 || max_page_ms > 60000)
    throw core::ConfigError({.subject = "max_page_ms",
                             .expected = "120 to 60000",
                             .found = std::to_string(max_page_ms)});
  if (max_call_s < 1 || max_call_s > 86400)
    throw core::ConfigError(
        {.subject = "max_call_s", .expected = "1 to 86400", .found = std::to_string(max_call_s)});
}

struct OggOpusDecoder::Impl {
  enum class Stage { kHead, kTags, kAudio, kEnded };

  explicit Impl(const Config& settings)
      : config(settings),
        reader({.max_packet_bytes = config.max_packet_bytes, .resync = config.resync}) {}

  Config config;
  OggReader reader;
  OggPage page;
  Stage stage = Stage::kHead;
  std::unique_ptr<OpusDecoder, DecoderDeleter> decoder;
  std::optional<OpusHead> head;
  std::array<float, kMaxPacketSamples> scratch;
  int last_packet_samples = kRateHz / 50;  // For concealment before any packet: 20 ms.
  int64_t num_decoded = 0;                 // Samples of this stream, pre-skip included.
  std::optional<int64_t> start_granule;    // Known from the first audio page on.
  bool granules_usable = true;
  uint64_t num_streams = 0, num_packets = 0, num_concealed = 0;
  std::optional<WireError> error;

  [[noreturn]] void fail(const char* subject, const std::string& expected,
                         const std::string& found) {
    error.emplace(core::ErrorDetail{
        .subject = subject, .expected = expected, .found = found, .file = place(page)});
    throw *error;
  }

  void begin_stream() {
    if (num_streams > 0 && !config.accept_chained)
      fail("Ogg stream", "one stream", "another one chained to it");
    ++num_streams;
    stage = Stage::kHead;
    num_decoded = 0;
    start_granule.reset();
    granules_usable = true;
  }

  void read_head(std::span<const uint8_t> packet) {
    head = parse_opus_head(packet, place(page));
    int status = OPUS_OK;
    decoder.reset(opus_decoder_create(kRateHz, 1, &status));
    DUET_CHECK_MSG(status == OPUS_OK, opus_strerror(status));
    const int gain_q8 = static_cast<int>(head->output_gain_db * 256.0);
    DUET_CHECK(opus_decoder_ctl(decoder.get(), OPUS_SET_GAIN(gain_q8)) == OPUS_OK);
    stage = Stage::kTags;
  }

  // Samples of a packet, 0 when it is no Opus packet. RFC 6716, section 3.4: at most 120 ms.
  static int packet_samples(std::span<const uint8_t> packet) {
    if (opus_packet_parse(packet.data(), static_cast<opus_int32>(packet.size()), nullptr, nullptr,
                          std::array<opus_int16, 48>{}.data(), nullptr) < 1)
      return 0;
    return std::max(0, opus_packet_get_nb_samples(packet.data(),
                                                  static_cast<opus_int32>(packet.size()), kRateHz));
  }

  void read_audio(std::span<const uint8_t> packet, size_t index, std::vector<float>& samples) {
    const int expected = packet_samples(packet);
    int got = expected == 0 ? OPUS_INVALID_PACKET
                            : opus_decode_float(decoder.get(), packet.data(),
                                                static_cast<opus_int32>(packet.size()),
                                                scratch.data(), kMaxPacketSamples, 0);
    if (got < 0) {
      if (!config.resync)
        fail("Opus packet", "a packet that decodes (RFC 6716)",
             std::string(opus_strerror(got)) + " in packet " + std::to_string(index) +
                 " of the page, " + std::to_string(packet.size()) + " bytes");
      got = opus_decode_float(decoder.get(), nullptr, 0, scratch.data(), last_packet_samples, 0);
      DUET_CHECK_MSG(got == last_packet_samples, std::to_string(got));
      ++num_concealed;
    }
    last_packet_samples = got;
    ++num_packets;
    const int64_t to_skip = first_sample_at(head->pre_skip) - num_decoded;
    const auto from = static_cast<size_t>(std::clamp<int64_t>(to_skip, 0, got));
    samples.insert(samples.end(), scratch.begin() + static_cast<std::ptrdiff_t>(from),
                   scratch.begin() + got);
    num_decoded += got;
  }

  // RFC 7845, section 4.4 and 4.5: the first page's granule tells where the stream starts, the last
  // one's may cut the end. Senders that count at 24 kHz give themselves away on the first page: its
  // granule is below what it holds, which only a last page may say.
  void follow_granule(int64_t page_samples, size_t page_begin, std::vector<float>& samples) {
    if (page.granule < 0) return;
    const int64_t position_48k = num_decoded * 2;
    if (!start_granule && page_samples > 0) {
      start_granule = std::max<int64_t>(0, page.granule - position_48k);
      if (page.granule < position_48k && !page.ends_stream) granules_usable = false;
    }
    if (!page.ends_stream || !start_granule || !granules_usable) return;
    if (page.granule < *start_granule) return;
    const int64_t excess = num_decoded - first_sample_at(page.granule - *start_granule);
    if (excess <= 0 || excess > page_samples) return;
    const auto on_page = static_cast<int64_t>(samples.size() - page_begin);
    samples.resize(samples.size() - static_cast<size_t>(std::min(excess, on_page)));
  }

  void read_page(std::vector<float>& samples, size_t limit) {
    if (page.begins_stream) begin_stream();
    if (stage == Stage::kEnded && !page.packets.empty())
      fail("Ogg page", "nothing after the page that ends the stream", "another page of it");
    int64_t page_samples = 0;
    const auto max_page_samples = int64_t{config.max_page_ms} * kRateHz / 1000;
    const size_t page_begin = samples.size();
    for (size_t i = 0; i < page.packets.size(); ++i) {
      const auto packet = page.packets[i];
      if (stage == Stage::kHead) {
        read_head(packet);
      } else if (stage == Stage::kTags) {
        if (!begins_with(packet, "OpusTags"))
          fail("Ogg-Opus stream", "the comment header \"OpusTags\" as the second packet",
               "another kind of packet");
        stage = Stage::kAudio;
      } else if (!packet.empty()) {  // Some encoders end a stream with an empty packet.
        page_samples += packet_samples(packet);
        if (page_samples > max_page_samples)
          fail("Ogg page", "at most " + std::to_string(config.max_page_ms) + " ms of audio",
               "more");
        if (samples.size() > limit)
          fail("audio in one message", "at most " + std::to_string(config.max_call_s) + " s",
               "more");
        read_audio(packet, i, samples);
      }
    }
    follow_granule(page_samples, page_begin, samples);
    if (page.ends_stream) stage = Stage::kEnded;
  }

  void decode(std::span<const uint8_t> bytes, std::vector<float>& samples) {
    if (error) throw *error;
    const size_t limit = samples.size() + static_cast<size_t>(config.max_call_s) * kRateHz;
    try {
      reader.push(bytes);
      while (reader.pop(page)) read_page(samples, limit);
    } catch (const WireError& thrown) {
      error = thrown;
      throw;
    }
  }

  void finish() {
    if (error) throw *error;
    try {
      reader.finish();
    } catch (const WireError& thrown) {
      error = thrown;
      throw;
    }
    if (stage == Stage::kHead || stage == Stage::kTags)
      fail("Ogg-Opus stream", "the headers OpusHead and OpusTags",
           stage == Stage::kHead ? "an end before both" : "an end after OpusHead");
  }
};

OggOpusDecoder::OggOpusDecoder(const Config& config) {
  config.validate();
  impl_ = std::make_unique<Impl>(config);
}
OggOpusDecoder::~OggOpusDecoder() = default;
OggOpusDecoder::OggOpusDecoder(OggOpusDecoder&&) noexcept = default;
OggOpusDecoder& OggOpusDecoder::operator=(OggOpusDecoder&&) noexcept = default;

void OggOpusDecoder::decode(std::span<const uint8_t> bytes, std::vector<float>& samples) {
  impl_->decode(bytes, samples);
}
void OggOpusDecoder::finish() { impl_->finish(); }
void OggOpusDecoder::reset() { impl_ = std::make_unique<Impl>(impl_->config); }
bool OggOpusDecoder::has_head() const noexcept { return impl_->head.has_value(); }
const OpusHead& OggOpusDecoder::head() const noexcept {
  DUET_CHECK(impl_->head.has_value());
  return *impl_->head;
}
uint64_t OggOpusDecoder::num_streams() const noexcept { return impl_->num_streams; }
uint64_t OggOpusDecoder::num_packets() const noexcept { return impl_->num_packets; }
uint64_t OggOpusDecoder::num_concealed() const noexcept { return impl_->num_concealed; }
uint64_t OggOpusDecoder::num_skipped_bytes() const noexcept {
  return impl_->reader.num_skipped_bytes();
}
uint64_t OggOpusDecoder::num_gaps() const noexcept { return impl_->reader.num_gaps(); }

}  // namespace duet::wire
