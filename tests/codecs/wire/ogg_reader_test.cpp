#include "codecs/wire/ogg_reader.h"

#include <ogg/ogg.h>

#include <catch2/catch.hpp>
#include <cstring>
#include <random>

using namespace duet;
using wire::OggPage;
using wire::OggReader;
using Bytes = std::vector<uint8_t>;

namespace {

// The oracle for reading: streams written by libogg, packets of the given sizes.
Bytes libogg_stream(const std::vector<size_t>& sizes, int serial, bool flush_each = false) {
  ogg_stream_state state;
  REQUIRE(ogg_stream_init(&state, serial) == 0);
  Bytes bytes;
  ogg_page page;
  const auto take = [&] {
    bytes.insert(bytes.end(), page.header, page.header + page.header_len);
    bytes.insert(bytes.end(), page.body, page.body + page.body_len);
  };
  for (size_t i = 0; i < sizes.size(); ++i) {
    Bytes data(sizes[i]);
    for (size_t j = 0; j < data.size(); ++j) data[j] = static_cast<uint8_t>(i * 31 + j);
    ogg_packet packet{
        data.data(),           static_cast<long>(data.size()),    i == 0,
        i + 1 == sizes.size(), static_cast<ogg_int64_t>(i) * 960, static_cast<ogg_int64_t>(i)};
    REQUIRE(ogg_stream_packetin(&state, &packet) == 0);
    if (i == 0 || flush_each)
      while (ogg_stream_flush(&state, &page)) take();
    else
      while (ogg_stream_pageout(&state, &page)) take();
  }
  while (ogg_stream_flush(&state, &page)) take();
  ogg_stream_clear(&state);
  return bytes;
}

struct Read {
  std::vector<Bytes> packets;
  std::vector<int64_t> granules;
  std::string error;
  bool operator==(const Read&) const = default;
};

template <typename NextPiece>
Read read(const Bytes& bytes, NextPiece next_piece, OggReader::Config config = {}) {
  OggReader reader(config);
  Read result;
  OggPage page;
  try {
    for (size_t at = 0; at < bytes.size();) {
      const size_t piece = std::min(bytes.size() - at, next_piece());
      reader.push(std::span(bytes).subspan(at, piece));
      at += piece;
      while (reader.pop(page)) {
        for (const auto packet : page.packets)
          result.packets.emplace_back(packet.begin(), packet.end());
        result.granules.push_back(page.granule);
      }
    }
    reader.finish();
  } catch (const wire::WireError& error) {
    result.error = error.what();
  }
  return result;
}

Read read_whole(const Bytes& bytes, OggReader::Config config = {}) {
  return read(
      bytes, [] { return size_t{1} << 30; }, config);
}

void fix_checksum(Bytes& bytes, size_t page_begin) {
  size_t size = 27 + bytes[page_begin + 26];
  for (size_t i = 0; i < bytes[page_begin + 26]; ++i) size += bytes[page_begin + 27 + i];
  std::memset(&bytes[page_begin + 22], 0, 4);
  const uint32_t sum = wire::ogg_checksum(std::span(bytes).subspan(page_begin, size));
  for (size_t i = 0; i < 4; ++i) bytes[page_begin + 22 + i] = static_cast<uint8_t>(sum >> (8 * i));
}

const std::vector<size_t> kSizes = {19, 40, 0, 1, 254, 255, 256, 510, 20000, 700, 65000, 3};

}  // namespace

TEST_CASE("packets written by libogg come back, across pages and at lacing's edges", "[unit]") {
  for (const bool flush_each : {false, true}) {
    const Read got = read_whole(libogg_stream(kSizes, 77, flush_each));
    CHECK(got.error.empty());
    REQUIRE(got.packets.size() == kSizes.size());
    for (size_t i = 0; i < kSizes.size(); ++i) {
      INFO("packet " << i);
      CHECK(got.packets[i].size() == kSizes[i]);
      for (size_t j = 0; j < kSizes[i]; ++j)
        if (got.packets[i][j] != static_cast<uint8_t>(i * 31 + j)) FAIL("byte " << j);
    }
    CHECK(got.granules.back() == static_cast<int64_t>(kSizes.size() - 1) * 960);
  }
}

TEST_CASE("any cut of the bytes gives the same packets", "[property]") {
  const Bytes bytes = libogg_stream(kSizes, -5);
  const Read whole = read_whole(bytes);
  REQUIRE(whole.error.empty());
  CHECK(read(bytes, [] { return size_t{1}; }) == whole);
  std::mt19937 random(7);
  for (int round = 0; round < 20; ++round) {
    INFO("seed 7, round " << round);
    CHECK(read(bytes, [&] { return size_t{1} + random() % 3000; }) == whole);
  }
}

TEST_CASE("damage is one error that names the byte, whatever the cut", "[unit]") {
  const Bytes good = libogg_stream({19, 40, 100, 200}, 1, true);
  // Pages: 28 + 19 = 47 bytes, 28 + 40 = 68, 28 + 100 = 128, 28 + 200 = 228.
  Bytes bad = good;
  std::string expected;
  SECTION("a changed body byte") {
    bad[47 + 30] ^= 1;
    expected = "Ogg page checksum: expected 0x";
  }
  SECTION("no page where one should begin") {
    bad[47] = 'X';
    expected =
        "Ogg page: expected the bytes 4f 67 67 53 (\"OggS\"), found 58 67 67 53 in Ogg stream, "
        "byte 47, page 1";
  }
  SECTION("a length that lies") {
    bad[47 + 27] = 60;  // The page is said to be 20 bytes longer.
    expected = "Ogg page checksum: expected 0x";
  }
  SECTION("another version") {
    bad[47 + 4] = 9;
    expected = "Ogg version: expected 0, found 9 in Ogg stream, byte 51, page 1";
  }
  SECTION("an end inside a page") {
    bad.resize(60);
    expected =
        "Ogg stream: expected an end after a whole page, found 13 bytes of an unfinished page in "
        "Ogg stream, byte 47, page 1";
  }
  SECTION("an end inside a packet") {
    bad = libogg_stream({19, 255}, 1, true);
    // 28 + 19 bytes, then a page of segments 255 and 0: without the 0 the packet goes on.
    Bytes cut(bad.begin(), bad.begin() + 47 + 28);
    cut[47 + 26] = 1;
    cut.insert(cut.end(), bad.begin() + 47 + 29, bad.end());
    fix_checksum(cut, 47);
    bad = cut;
    expected =
        "Ogg stream: expected an end after a whole packet, found 255 bytes of an unfinished packet "
        "in Ogg stream, byte 330, page 2";
  }
  SECTION("another stream's page in between") {
    bad[47 + 14] ^= 0x10;
    fix_checksum(bad, 47);
    expected =
        "Ogg stream serial number: expected 0x00000001, found 0x00000011 in Ogg stream, byte 61, "
        "page 1";
  }
  SECTION("a middle without its beginning") {
    bad.erase(bad.begin(), bad.begin() + 47);
    expected =
        "Ogg page: expected the first page of a stream (flag 2), found flags 0 in Ogg stream, byte "
        "5, page 0";
  }
  SECTION("the rest of a packet that never began") {
    bad[47 + 5] |= 1;
    fix_checksum(bad, 47);
    expected =
        "Ogg page: expected a page that begins with a new packet, found the rest of a packet that "
        "never began in Ogg stream, byte 52, page 1";
  }
  const Read whole = read_whole(bad);
  CHECK(whole.error.substr(0, expected.size()) == expected);
  CHECK(read(bad, [] { return size_t{1}; }) == whole);
}

TEST_CASE("packets over the limit are refused before they are all there", "[unit]") {
  const Bytes bytes = libogg_stream({19, 500000, 10}, 3);
  OggReader reader({.max_packet_bytes = 70000});
  OggPage page;
  size_t pushed = 0;
  try {
    for (; pushed < bytes.size(); pushed += 1000) {
      reader.push(std::span(bytes).subspan(pushed, std::min<size_t>(1000, bytes.size() - pushed)));
      while (reader.pop(page)) {
      }
    }
    FAIL("not refused");
  } catch (const wire::WireError& error) {
    CHECK(std::string(error.what()).find("Ogg packet: expected at most 70000 bytes, found more") ==
          0);
    CHECK(pushed < 135000);
  }
  CHECK_THROWS_AS(reader.pop(page), wire::WireError);
  reader.reset();
  CHECK_FALSE(reader.pop(page));
  CHECK_THROWS_AS(OggReader({.max_packet_bytes = 0}), core::ConfigError);
}

TEST_CASE("with resync the pages after the damage still come, and what was lost is counted",
          "[unit]") {
  const Bytes good = libogg_stream({19, 40, 100, 200}, 1, true);
  Bytes bad = good;
  SECTION("damage") { bad[47 + 30] ^= 1; }
  SECTION("a missing page") { bad.erase(bad.begin() + 47, bad.begin() + 47 + 68); }
  SECTION("garbage instead of it") {
    for (size_t i = 47; i < 47 + 68; ++i) bad[i] = static_cast<uint8_t>("OggOg"[i % 5]);
  }
  OggReader reader({.resync = true});
  std::vector<size_t> sizes;
  OggPage page;
  for (const uint8_t byte : bad) {
    reader.push({&byte, 1});
    while (reader.pop(page))
      for (const auto packet : page.packets) sizes.push_back(packet.size());
  }
  CHECK(sizes == std::vector<size_t>{19, 100, 200});
  CHECK(reader.num_gaps() == 1);
  CHECK(reader.num_skipped_bytes() == bad.size() - (good.size() - 68));
}

TEST_CASE("resync gives up on bytes made to be searched through", "[unit]") {
  Bytes bytes;
  while (bytes.size() < 200000) bytes.insert(bytes.end(), {'O', 'g', 'g', 'S'});
  OggReader reader({.resync = true, .max_damaged = 50});
  reader.push(bytes);
  OggPage page;
  CHECK_THROWS_WITH(reader.pop(page),
                    Catch::Contains("Ogg stream: expected at most 50 damaged places, found more"));
}

TEST_CASE("a long stretch of garbage is one damaged place, however it is cut", "[unit]") {
  Bytes bytes(5000, 'x');
  const Bytes good = libogg_stream({19, 40}, 1, true);
  bytes.insert(bytes.end(), good.begin(), good.end());
  const OggReader::Config config = {.resync = true, .max_damaged = 1};
  const Read whole = read_whole(bytes, config);
  CHECK(whole.error.empty());
  CHECK(whole.packets.size() == 2);
  CHECK(read(
            bytes, [] { return size_t{1}; }, config) == whole);
}
