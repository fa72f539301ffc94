#include <ogg/ogg.h>
#include <opus/opus.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstring>
#include <limits>
#include <random>

#include "audio/audio_file.h"
#include "codecs/wire/ogg_opus_decoder.h"
#include "codecs/wire/ogg_opus_encoder.h"
#include "tests/support/speech_like.h"
#include "tests/support/temp_dir.h"

using namespace duet;
using wire::OggOpusDecoder;
using wire::OggOpusEncoder;
using Bytes = std::vector<uint8_t>;

namespace {

constexpr int kRateHz = 24000;

Bytes encode(const std::vector<float>& samples, OggOpusEncoder::Config config = {}) {
  OggOpusEncoder encoder(config);
  Bytes bytes;
  encoder.encode(samples, bytes);
  encoder.finish(bytes);
  return bytes;
}

struct Decoded {
  std::vector<float> samples;
  std::string error;
  bool operator==(const Decoded&) const = default;
};

template <typename NextPiece>
Decoded decode(const Bytes& bytes, NextPiece next_piece, OggOpusDecoder::Config config = {}) {
  OggOpusDecoder decoder(config);
  Decoded result;
  try {
    for (size_t at = 0; at < bytes.size();) {
      const size_t piece = std::min(bytes.size() - at, next_piece());
      decoder.decode(std::span(bytes).subspan(at, piece), result.samples);
      at += piece;
    }
    decoder.finish();
  } catch (const wire::WireError& error) {
    result.error = error.what();
  }
  return result;
}

Decoded decode_whole(const Bytes& bytes, OggOpusDecoder::Config config = {}) {
  return decode(
      bytes, [] { return size_t{1} << 30; }, config);
}

// Streams with any headers, pages and granules: the bytes of a sender that is not ours.
struct Sender {
  Bytes bytes;
  uint32_t serial = 9, sequence = 0;

  void page(const std::vector<Bytes>& packets, int64_t granule, int flags) {
    Bytes lacing, body;
    for (const Bytes& packet : packets) {
      for (size_t left = packet.size();; left -= 255) {
        lacing.push_back(static_cast<uint8_t>(std::min<size_t>(left, 255)));
        if (left < 255) break;
      }
      body.insert(body.end(), packet.begin(), packet.end());
    }
    REQUIRE(lacing.size() <= 255);
    Bytes page_bytes = {'O', 'g', 'g', 'S', 0, static_cast<uint8_t>(flags)};
    const auto put = [&](uint64_t value, int count) {
      for (int i = 0; i < count; ++i) page_bytes.push_back(static_cast<uint8_t>(value >> 8 * i));
    };
    put(static_cast<uint64_t>(granule), 8);
    put(serial, 4);
    put(sequence++, 4);
    put(0, 4);
    put(lacing.size(), 1);
    page_bytes.insert(page_bytes.end(), lacing.begin(), lacing.end());
    page_bytes.insert(page_bytes.end(), body.begin(), body.end());
    const uint32_t sum = wire::ogg_checksum(page_bytes);
    for (size_t i = 0; i < 4; ++i) page_bytes[22 + i] = static_cast<uint8_t>(sum >> 8 * i);
    bytes.insert(bytes.end(), page_bytes.begin(), page_bytes.end());
  }
};

Bytes head_packet(int channels = 1, int pre_skip = 0, int gain_q8 = 0, int family = 0,
                  int version = 1) {
  Bytes head = {'O', 'p', 'u', 's', 'H', 'e', 'a', 'd'};
  for (const int value : {version, channels, pre_skip & 255, pre_skip >> 8, 0xc0, 0x5d, 0, 0,
                          gain_q8 & 255, (gain_q8 >> 8) & 255, family})
    head.push_back(static_cast<uint8_t>(value));
  return head;
}

Bytes tags_packet(size_t extra_bytes = 0) {
  Bytes tags = {'O', 'p', 'u', 's', 'T', 'a', 'g', 's', 1, 0, 0, 0, 'x', 0, 0, 0, 0};
  tags.resize(tags.size() + extra_bytes);
  return tags;
}

// Opus packets of `packet_ms` (possibly 2.5) straight from libopus.
std::vector<Bytes> opus_packets(const std::vector<float>& samples, double packet_ms) {
  int status = OPUS_OK;
  OpusEncoder* encoder = opus_encoder_create(kRateHz, 1, OPUS_APPLICATION_AUDIO, &status);
  REQUIRE(status == OPUS_OK);
  const auto step = static_cast<size_t>(packet_ms * kRateHz / 1000.0);
  std::vector<Bytes> packets;
  for (size_t at = 0; at + step <= samples.size(); at += step) {
    Bytes packet(4000);
    const int size = opus_encode_float(encoder, &samples[at], static_cast<int>(step), packet.data(),
                                       static_cast<opus_int32>(packet.size()));
    REQUIRE(size > 0);
    packet.resize(static_cast<size_t>(size));
    packets.push_back(packet);
  }
  opus_encoder_destroy(encoder);
  return packets;
}

Sender with_headers(const Bytes& head = head_packet(), const Bytes& tags = tags_packet()) {
  Sender sender;
  sender.page({head}, 0, 2);
  sender.page({tags}, 0, 0);
  return sender;
}

}  // namespace

TEST_CASE("speech survives the round trip in place, in length and in energy", "[unit]") {
  for (const size_t length : {size_t{0}, size_t{1}, size_t{479}, size_t{480}, size_t{48000 + 77}}) {
    for (const int packet_ms : {5, 10, 20, 40, 60}) {
      INFO(length << " samples in packets of " << packet_ms << " ms");
      const auto samples = test::speech_like(length, kRateHz);
      const Decoded got = decode_whole(encode(samples, {.packet_ms = packet_ms}));
      CHECK(got.error.empty());
      REQUIRE(got.samples.size() == length);
      if (length < 48000) continue;
      const double ratio = test::energy(got.samples) / test::energy(samples);
      CHECK(ratio > 0.85);
      CHECK(ratio < 1.1);
      // In place to a quarter of a millisecond: Opus' speech layer comes a few samples early at
      // 24 kHz, its pre-skip being that of the music layer.
      double best = 0.0;
      int best_lag = 99;
      for (int lag = -24; lag <= 24; ++lag)
        if (const double fit = test::correlation(got.samples, samples, lag); fit > best)
          best = fit, best_lag = lag;
      CHECK(best > 0.97);
      CHECK(std::abs(best_lag) <= 6);
    }
  }
}

TEST_CASE("any cut of the bytes gives the same samples, any cut of the samples the same bytes",
          "[property]") {
  const auto samples = test::speech_like(kRateHz + 13, kRateHz);
  const Bytes bytes = encode(samples, {.packet_ms = 20, .packets_per_page = 3});
  const Decoded whole = decode_whole(bytes);
  REQUIRE(whole.error.empty());
  CHECK(decode(bytes, [] { return size_t{1}; }) == whole);
  std::mt19937 random(3);
  for (int round = 0; round < 5; ++round)
    CHECK(decode(bytes, [&] { return size_t{1} + random() % 700; }) == whole);

  OggOpusEncoder encoder({.packet_ms = 20, .packets_per_page = 3});
  Bytes cut;
  for (size_t at = 0; at < samples.size();) {
    const size_t piece = std::min(samples.size() - at, size_t{random() % 2500});
    encoder.encode(std::span(samples).subspan(at, piece), cut);
    at += piece;
  }
  encoder.finish(cut);
  CHECK(cut == bytes);
  encoder.reset();
  cut.clear();
  encoder.encode(samples, cut);
  encoder.finish(cut);
  CHECK(cut == bytes);
}

TEST_CASE("a step of 80 ms comes out at once, headers first", "[unit]") {
  OggOpusEncoder encoder;
  OggOpusDecoder decoder;
  Bytes bytes;
  std::vector<float> out;
  encoder.encode({}, bytes);
  decoder.decode(bytes, out);
  CHECK(decoder.has_head());
  CHECK(decoder.head().pre_skip == encoder.pre_skip());
  const auto samples = test::speech_like(1920 * 5, kRateHz);
  for (size_t step = 0; step < 5; ++step) {
    bytes.clear();
    encoder.encode(std::span(samples).subspan(step * 1920, 1920), bytes);
    decoder.decode(bytes, out);
    // All but the codec's own delay.
    CHECK(out.size() == (step + 1) * 1920 - static_cast<size_t>(encoder.pre_skip() / 2));
  }
  CHECK(decoder.num_packets() == 20);
}

TEST_CASE("libogg reads our pages: order, granules at 48 kHz, flags", "[unit]") {
  const auto samples = test::speech_like(3000, kRateHz);  // 125 ms.
  const Bytes bytes = encode(samples, {.packet_ms = 20, .packets_per_page = 2, .serial = 5});
  ogg_sync_state sync;
  ogg_sync_init(&sync);
  std::memcpy(ogg_sync_buffer(&sync, static_cast<long>(bytes.size())), bytes.data(), bytes.size());
  ogg_sync_wrote(&sync, static_cast<long>(bytes.size()));
  std::vector<int64_t> granules;
  ogg_page page;
  int status = 0;
  bool ends = false;
  while ((status = ogg_sync_pageout(&sync, &page)) == 1) {
    CHECK(ogg_page_serialno(&page) == 5);
    CHECK(ogg_page_pageno(&page) == static_cast<long>(granules.size()));
    CHECK((ogg_page_bos(&page) != 0) == granules.empty());
    CHECK_FALSE(ends);
    ends = ogg_page_eos(&page) != 0;
    granules.push_back(ogg_page_granulepos(&page));
  }
  CHECK(status == 0);  // -1 would be a page it had to skip.
  CHECK(ends);
  const int64_t end = 6000 + OggOpusEncoder().pre_skip();
  // Packets of 960: two a page, and a last one for the rest and the codec's delay.
  CHECK(granules == std::vector<int64_t>{0, 0, 1920, 3840, 5760, end});
  ogg_sync_clear(&sync);
}

TEST_CASE("libsndfile plays our stream, and we play libsndfile's, alike", "[unit]") {
  // libsndfile decodes at the rate in the header or at 48 kHz, by version.
  const auto compare = [](const std::string& path, const Bytes& bytes) {
    INFO(path);
    const audio::AudioClip clip = audio::load_audio_file(path);
    const Decoded ours = decode_whole(bytes);
    CHECK(ours.error.empty());
    const bool is_48k = clip.rate_hz == 48000;
    if (clip.rate_hz != kRateHz && !is_48k) return;  // Written from another rate: no common grid.
    std::vector<float> theirs;
    for (size_t i = 0; i < clip.samples.size(); i += is_48k ? 2 : 1)
      theirs.push_back(clip.samples[i]);
    CHECK(ours.samples.size() == theirs.size());
    CHECK(test::correlation(theirs, ours.samples) > 0.99);
    CHECK(test::energy(ours.samples) == Approx(test::energy(theirs)).epsilon(0.03));
  };
  const support::TempDir folder;
  const Bytes ours = encode(test::speech_like(kRateHz, kRateHz));
  compare(folder.write("ours.ogg", std::string(ours.begin(), ours.end())), ours);
  for (const char* name : {"capital", "sum", "barge-in"}) {
    const std::string path = std::string(DUET_SOURCE_DIR "/tests/data/demo/") + name + ".ogg";
    const std::string content = support::TempDir::read(path);
    REQUIRE_FALSE(content.empty());
    compare(path, Bytes(content.begin(), content.end()));
  }
}

TEST_CASE("granules: pre-skip, a start that is not zero, a trimmed end", "[unit]") {
  const auto packets = opus_packets(test::speech_like(kRateHz, kRateHz), 20.0);
  REQUIRE(packets.size() == 50);
  // 3 packets of 480 samples; 100 of them pre-skip at 24 kHz; the end 150 samples early.
  for (const int64_t start : {int64_t{0}, int64_t{1234567}}) {
    Sender sender = with_headers(head_packet(1, 200));
    sender.page({packets[0]}, start + 960, 0);
    sender.page({packets[1], packets[2]}, start + 3 * 960 - 300, 4);
    const Decoded got = decode_whole(sender.bytes);
    CHECK(got.error.empty());
    CHECK(got.samples.size() == 3 * 480 - 100 - 150);
  }
  SECTION("one page that is first and last") {
    Sender sender = with_headers(head_packet(1, 200));
    sender.page({packets[0]}, 700, 4);
    CHECK(decode_whole(sender.bytes).samples.size() == 350 - 100);
  }
  SECTION("a pre-skip longer than a page") {
    Sender sender = with_headers(head_packet(1, 3840));  // 80 ms, as Moshi's server says.
    for (int i = 0; i < 6; ++i) sender.page({packets[static_cast<size_t>(i)]}, (i + 1) * 960, 0);
    CHECK(decode_whole(sender.bytes).samples.size() == 6 * 480 - 1920);
  }
  SECTION("granules counted at 24 kHz cut nothing") {
    Sender sender = with_headers();
    for (int i = 0; i < 6; ++i)
      sender.page({packets[static_cast<size_t>(i)]}, (i + 1) * 480, i == 5 ? 4 : 0);
    CHECK(decode_whole(sender.bytes).samples.size() == 6 * 480);
  }
  SECTION("a last granule that would cut more than its page, or lies wildly, cuts nothing") {
    for (const int64_t last : {int64_t{1}, int64_t{-7}, std::numeric_limits<int64_t>::max(),
                               std::numeric_limits<int64_t>::min()}) {
      Sender sender = with_headers();
      sender.page({packets[0]}, 960, 0);
      sender.page({packets[1]}, last, 4);
      CHECK(decode_whole(sender.bytes).samples.size() == 960);
    }
    Sender sender = with_headers();
    sender.page({packets[0]}, std::numeric_limits<int64_t>::max(), 0);
    sender.page({packets[1]}, std::numeric_limits<int64_t>::max(), 4);
    CHECK(decode_whole(sender.bytes).error.empty());
  }
}

TEST_CASE("every packet length that Opus has is decoded, several to a page", "[unit]") {
  const auto samples = test::speech_like(kRateHz * 6 / 10, kRateHz);
  for (const double packet_ms : {2.5, 5.0, 10.0, 20.0, 40.0, 60.0}) {
    INFO(packet_ms << " ms");
    const auto packets = opus_packets(samples, packet_ms);
    Sender sender = with_headers();
    for (size_t i = 0; i < packets.size(); i += 5)
      sender.page({packets.begin() + static_cast<std::ptrdiff_t>(i),
                   packets.begin() + static_cast<std::ptrdiff_t>(std::min(i + 5, packets.size()))},
                  0, 0);
    const Decoded got = decode_whole(sender.bytes);
    CHECK(got.error.empty());
    CHECK(got.samples.size() == samples.size());
  }
}

TEST_CASE("stereo is mixed down, output gain applied", "[unit]") {
  const auto packets = opus_packets(test::speech_like(kRateHz, kRateHz), 20.0);
  const auto total = [&](const Bytes& head) {
    Sender sender = with_headers(head);
    for (const auto& packet : packets) sender.page({packet}, 0, 0);
    const Decoded got = decode_whole(sender.bytes);
    CHECK(got.error.empty());
    return test::energy(got.samples);
  };
  const double plain = total(head_packet());
  CHECK(total(head_packet(2)) == Approx(plain));
  CHECK(total(head_packet(1, 0, -6 * 256)) / plain == Approx(std::pow(10.0, -0.6)).epsilon(0.01));
  Bytes family1 = head_packet(2, 0, 0, 1);
  family1.insert(family1.end(), {1, 1, 0, 1});
  CHECK(total(family1) == Approx(plain));
}

TEST_CASE("a second stream is decoded from its own start, or refused when asked", "[unit]") {
  const auto samples = test::speech_like(5000, kRateHz);
  Bytes bytes = encode(samples);
  const Bytes second = encode(samples, {.serial = 43});
  bytes.insert(bytes.end(), second.begin(), second.end());
  const Decoded got = decode_whole(bytes);
  CHECK(got.error.empty());
  REQUIRE(got.samples.size() == 10000);
  CHECK(std::equal(got.samples.begin(), got.samples.begin() + 5000, got.samples.begin() + 5000));
  CHECK(decode_whole(bytes, {.accept_chained = false})
            .error.find(
                "Ogg stream: expected one stream, found another one chained to it in Ogg stream") ==
        0);
}

TEST_CASE("hostile streams end in one error that says what and where", "[unit]") {
  const auto packets = opus_packets(test::speech_like(kRateHz, kRateHz), 20.0);
  Sender sender;
  std::string expected;
  OggOpusDecoder::Config config;
  SECTION("not Opus") {
    sender.page({{1, 'v', 'o', 'r', 'b', 'i', 's'}}, 0, 2);
    expected =
        "Ogg stream: expected an Opus stream (first packet \"OpusHead\"), found another kind of "
        "packet in Ogg stream, byte 0, page 0";
  }
  SECTION("channels") {
    for (const int channels : {0, 3, 255}) {
      Sender other;
      other.page({head_packet(channels)}, 0, 2);
      CHECK(decode_whole(other.bytes).error == "OpusHead channels: expected 1 or 2, found " +
                                                   std::to_string(channels) +
                                                   " in Ogg stream, byte 0, page 0");
    }
    sender.page({head_packet(6, 0, 0, 1)}, 0, 2);
    expected = "OpusHead channels: expected 1 or 2, found 6";
  }
  SECTION("mapping") {
    sender.page({head_packet(2, 0, 0, 255)}, 0, 2);
    expected =
        "OpusHead channel mapping family: expected 0 or 1 (one mono or stereo stream), found 255";
  }
  SECTION("a mapping table that is not there") {
    sender.page({head_packet(2, 0, 0, 1)}, 0, 2);
    expected = "OpusHead: expected 23 bytes for its mapping table, found 19 bytes";
  }
  SECTION("a version to come") {
    sender.page({head_packet(1, 0, 0, 0, 16)}, 0, 2);
    expected = "OpusHead version: expected 0 to 15, found 16";
  }
  SECTION("a short head") {
    Bytes head = head_packet();
    head.pop_back();
    sender.page({head}, 0, 2);
    expected = "OpusHead: expected at least 19 bytes, found 18 bytes";
  }
  SECTION("no comment header") {
    sender.page({head_packet()}, 0, 2);
    sender.page({packets[0]}, 960, 0);
    expected =
        "Ogg-Opus stream: expected the comment header \"OpusTags\" as the second packet, found "
        "another kind of packet in Ogg stream, byte 47, page 1";
  }
  SECTION("huge comments") {
    config.max_packet_bytes = 20000;
    sender = with_headers(head_packet(), tags_packet(30000));
    expected = "Ogg packet: expected at most 20000 bytes, found more in Ogg stream";
  }
  SECTION("a packet that is none") {
    sender = with_headers();
    sender.page({packets[0], {0x03}}, 0, 0);  // Code 3 without its count of frames.
    expected =
        "Opus packet: expected a packet that decodes (RFC 6716), found corrupted stream in packet "
        "1 "
        "of the page, 1 bytes in Ogg stream, byte ";
  }
  SECTION("a page that swells to minutes") {
    sender = with_headers();
    // 48 frames of 2.5 ms in two bytes: 120 ms each.
    sender.page(std::vector<Bytes>(60, Bytes{0xe3, 48}), 0, 0);
    expected = "Ogg page: expected at most 2000 ms of audio, found more";
  }
  SECTION("a message that swells to hours") {
    config.max_call_s = 3;
    sender = with_headers();
    for (int i = 0; i < 4; ++i) sender.page(std::vector<Bytes>(15, Bytes{0xe3, 48}), 0, 0);
    expected = "audio in one message: expected at most 3 s, found more";
  }
  SECTION("more after the end") {
    sender = with_headers();
    sender.page({packets[0]}, 960, 4);
    sender.page({packets[1]}, 1920, 0);
    expected = "Ogg page: expected nothing after the page that ends the stream, found another page";
  }
  SECTION("an end before the headers") {
    sender.page({head_packet()}, 0, 2);
    expected = "Ogg-Opus stream: expected the headers OpusHead and OpusTags, found an end after";
  }
  SECTION("nothing at all") {
    expected = "Ogg-Opus stream: expected the headers OpusHead and OpusTags, found an end before";
  }
  OggOpusDecoder decoder(config);
  std::vector<float> samples;
  std::string first, again;
  try {
    decoder.decode(sender.bytes, samples);
    decoder.finish();
  } catch (const wire::WireError& error) {
    first = error.what();
  }
  CHECK(first.substr(0, expected.size()) == expected);
  try {
    decoder.decode(encode({}), samples);
  } catch (const wire::WireError& error) {
    again = error.what();
  }
  CHECK(again == first);  // The stream stays broken,
  decoder.reset();        // until it is begun anew.
  CHECK_NOTHROW(decoder.decode(encode({}), samples));
}

TEST_CASE("with resync lost pages shorten the stream and bad packets are concealed", "[unit]") {
  const auto packets = opus_packets(test::speech_like(kRateHz, kRateHz), 20.0);
  Sender sender = with_headers();
  for (int i = 0; i < 10; ++i) sender.page({packets[static_cast<size_t>(i)]}, 960 * (i + 1), 0);
  const size_t before = sender.bytes.size();
  sender.page({packets[10]}, 960 * 11, 0);
  const size_t after = sender.bytes.size();
  sender.page({{0x03}}, 960 * 12, 0);
  sender.page({packets[12]}, 960 * 13, 0);
  sender.bytes[before + (after - before) / 2] ^= 0x40;
  OggOpusDecoder decoder({.resync = true});
  std::vector<float> samples;
  decoder.decode(sender.bytes, samples);
  CHECK(samples.size() == 12 * 480);
  CHECK(decoder.num_concealed() == 1);
  CHECK(decoder.num_gaps() == 1);
  CHECK(decoder.num_skipped_bytes() == after - before);
}

TEST_CASE("the encoder takes any samples and refuses settings that cannot be", "[unit]") {
  const float inf = std::numeric_limits<float>::infinity();
  std::vector<float> wild(2400, 3.0f);
  for (size_t i = 0; i < wild.size(); i += 3) wild[i] = -inf;
  for (size_t i = 1; i < wild.size(); i += 5) wild[i] = std::nanf("");
  const Decoded got = decode_whole(encode(wild));
  CHECK(got.error.empty());
  CHECK(got.samples.size() == wild.size());
  for (const float sample : got.samples) REQUIRE(std::isfinite(sample));

  CHECK_THROWS_WITH(OggOpusEncoder({.packet_ms = 30}),
                    "packet_ms: expected 5, 10, 20, 40 or 60, found 30");
  CHECK_THROWS_WITH(OggOpusEncoder({.packet_ms = 40, .packets_per_page = 3}),
                    "packets_per_page: expected 1 to 2, found 3");
  CHECK_THROWS_AS(OggOpusEncoder({.bitrate_bps = 100}), core::ConfigError);
  CHECK_THROWS_AS(OggOpusEncoder({.vendor = std::string(1001, 'x')}), core::ConfigError);
  CHECK_THROWS_AS(OggOpusDecoder({.max_page_ms = 1}), core::ConfigError);
}
