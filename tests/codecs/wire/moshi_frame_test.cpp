#include "codecs/wire/moshi_frame.h"

#include <catch2/catch.hpp>
#include <string>

#include "codecs/wire/utf8.h"

using namespace duet;
using namespace duet::wire;
using Bytes = std::vector<uint8_t>;

namespace {
Bytes message(uint8_t kind, const std::string& payload = {}) {
  const std::string whole = static_cast<char>(kind) + payload;
  return {whole.begin(), whole.end()};
}
std::string error_of(const Bytes& bytes, const MoshiLimits& limits = {}) {
  try {
    parse_moshi_frame(bytes, limits);
  } catch (const WireError& error) {
    return error.what();
  }
  return "no error";
}
}  // namespace

TEST_CASE("Moshi messages have the published bytes", "[unit]") {
  CHECK(write_moshi_handshake() == Bytes{0, 0, 0, 0, 0, 0, 0, 0, 0});
  CHECK(write_moshi_audio(Bytes{'O', 'g', 'g', 'S'}) == Bytes{1, 'O', 'g', 'g', 'S'});
  CHECK(write_moshi_audio({}) == Bytes{1});
  CHECK(write_moshi_text(" hi") == Bytes{2, ' ', 'h', 'i'});
  CHECK(write_moshi_control(MoshiControl::kRestart) == Bytes{3, 3});
  CHECK(write_moshi_metadata("{}") == Bytes{4, '{', '}'});
  CHECK(write_moshi_error("full") == Bytes{5, 'f', 'u', 'l', 'l'});
  CHECK(write_moshi_ping() == Bytes{6});
}

TEST_CASE("what is written is read back", "[unit]") {
  const Bytes handshake = {0, 1, 0, 0, 0, 2, 1, 0, 0};
  const MoshiFrame versions = parse_moshi_frame(handshake);
  CHECK(versions.kind == MoshiKind::kHandshake);
  CHECK(versions.protocol_version == 1);
  CHECK(versions.model_version == 258);
  CHECK(parse_moshi_frame(Bytes{0}).protocol_version == 0);  // Python servers send the byte alone.
  const Bytes audio = write_moshi_audio(Bytes{9, 8, 7});
  CHECK(parse_moshi_frame(audio).kind == MoshiKind::kAudio);
  CHECK(parse_moshi_frame(audio).payload.size() == 3);
  CHECK(parse_moshi_frame(audio).payload[2] == 7);
  CHECK(parse_moshi_frame(Bytes{1}).payload.empty());  // Legal: the encoder had nothing yet.
  const Bytes text = write_moshi_text(" gr\u00fc\u00df \U0001F44B");
  CHECK(parse_moshi_frame(text).text == " gr\u00fc\u00df \U0001F44B");
  const Bytes control = write_moshi_control(MoshiControl::kPause);
  CHECK(parse_moshi_frame(control).control == MoshiControl::kPause);
  CHECK(parse_moshi_frame(write_moshi_ping()).kind == MoshiKind::kPing);
  CHECK(parse_moshi_frame(message(6, "anything")).kind == MoshiKind::kPing);
}

TEST_CASE("kinds to come are tolerated", "[unit]") {
  for (const int kind : {7, 8, 9, 100, 255}) {
    const Bytes bytes = message(static_cast<uint8_t>(kind), "\xff\xfe");
    const MoshiFrame frame = parse_moshi_frame(bytes);
    CHECK(frame.kind == MoshiKind::kUnknown);
    CHECK(frame.kind_byte == kind);
    CHECK(frame.payload.size() == 2);
  }
}

TEST_CASE("malformed Moshi messages are refused by name", "[unit]") {
  CHECK(error_of({}) == "message: expected a kind byte, found nothing in Moshi message");
  CHECK(error_of(message(0, "abc")) ==
        "handshake: expected 1 or 9 bytes, found 4 bytes in Moshi message");
  CHECK(error_of(message(3)) == "control: expected 2 bytes, found 1 bytes in Moshi message");
  CHECK(error_of(message(3, "\x04")) ==
        "control: expected 0 (start), 1 (end turn), 2 (pause) or 3 (restart), found 4 in Moshi "
        "message");
  CHECK(error_of(message(2, "caf\xe9")) ==
        "payload of kind 2: expected UTF-8, found other bytes in Moshi message");
  CHECK(error_of(message(1, "12345"), {.max_audio_bytes = 4}) ==
        "payload of kind 1: expected at most 4 bytes, found 5 bytes in Moshi message");
  CHECK(error_of(message(99, "12345"), {.max_text_bytes = 4}) ==
        "payload of kind 99: expected at most 4 bytes, found 5 bytes in Moshi message");
}

TEST_CASE("UTF-8 is told from what only looks like it, and mended on the way out", "[unit]") {
  for (const char* good : {"", "a", "\u00e9", "\u20ac", "\U0001F600", "\U0010FFFF", "\uD7FF"})
    CHECK(is_utf8(good));
  for (const char* bad : {"\xc0\x80", "\xe0\x80\x80", "\xed\xa0\x80", "\xf0\x80\x80\x80",
                          "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\x80", "\xe2\x82", "\xc3"})
    CHECK_FALSE(is_utf8(bad));
  CHECK(replace_invalid_utf8("a\xff\u20ac\xe2\x82") == "a\ufffd\u20ac\ufffd\ufffd");
  // A word cut in the middle of a character by a tokenizer.
  CHECK(write_moshi_text("\xc3") == Bytes{2, 0xef, 0xbf, 0xbd});
}
