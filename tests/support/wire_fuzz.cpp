#include "tests/support/wire_fuzz.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>

#include "codecs/wire/duplex_events.h"
#include "codecs/wire/duplex_writer.h"
#include "codecs/wire/live_events.h"
#include "codecs/wire/moshi_frame.h"
#include "codecs/wire/ogg_opus_decoder.h"
#include "codecs/wire/realtime_events.h"
#include "codecs/wire/realtime_session.h"
#include "codecs/wire/realtime_writer.h"
#include "codecs/wire/utf8.h"

namespace duet::test {
namespace {

void repair_checksums(std::vector<uint8_t>& bytes) {
  for (size_t at = 0; at + 27 <= bytes.size();) {
    if (std::memcmp(&bytes[at], "OggS", 4) != 0) {
      ++at;
      continue;
    }
    size_t size = 27u + bytes[at + 26];
    if (at + size > bytes.size()) return;
    for (size_t i = 0; i < bytes[at + 26]; ++i) size += bytes[at + 27 + i];
    if (at + size > bytes.size()) return;
    std::memset(&bytes[at + 22], 0, 4);
    const uint32_t sum = wire::ogg_checksum(std::span(bytes).subspan(at, size));
    for (size_t i = 0; i < 4; ++i) bytes[at + 22 + i] = static_cast<uint8_t>(sum >> (8 * i));
    at += size;
  }
}

std::string decode(wire::OggOpusDecoder& decoder, std::span<const uint8_t> bytes, size_t piece,
                   std::vector<float>& samples) {
  try {
    for (size_t at = 0; at < bytes.size(); at += piece)
      decoder.decode(bytes.subspan(at, std::min(piece, bytes.size() - at)), samples);
    decoder.finish();
  } catch (const wire::WireError& error) {
    DUET_CHECK(!error.detail().subject.empty() && !error.detail().found.empty());
    return error.what();
  }
  return {};
}

}  // namespace

void fuzz_ogg_opus(std::span<const uint8_t> input) {
  if (input.empty()) return;
  std::vector<uint8_t> bytes(input.begin() + 1, input.end());
  if ((input[0] & 2) != 0) repair_checksums(bytes);
  // The limit of a call depends on the pieces by design: out of reach here.
  const wire::OggOpusDecoder::Config config = {.max_packet_bytes = 8192,
                                               .max_page_ms = 500,
                                               .max_call_s = 86400,
                                               .resync = (input[0] & 1) != 0};
  wire::OggOpusDecoder whole(config), cut(config);
  std::vector<float> expected, got;
  const std::string expected_error =
      decode(whole, bytes, std::max<size_t>(bytes.size(), 1), expected);
  const std::string got_error = decode(cut, bytes, 1u + (input[0] >> 2), got);
  DUET_CHECK_MSG(expected_error == got_error, expected_error + " | " + got_error);
  DUET_CHECK(expected.size() == got.size());
  DUET_CHECK(expected.empty() ||
             std::memcmp(expected.data(), got.data(), got.size() * sizeof(float)) == 0);
  for (const float sample : expected) DUET_CHECK(std::isfinite(sample));
}

void fuzz_moshi_frame(std::span<const uint8_t> input) {
  try {
    const wire::MoshiFrame frame = wire::parse_moshi_frame(input);
    DUET_CHECK(frame.payload.size() + 1 == input.size());
    DUET_CHECK(wire::is_utf8(frame.text));
    std::vector<uint8_t> again;
    if (frame.kind == wire::MoshiKind::kText)
      again = wire::write_moshi_text(frame.text);
    else if (frame.kind == wire::MoshiKind::kAudio)
      again = wire::write_moshi_audio(frame.payload);
    else if (frame.kind == wire::MoshiKind::kControl)
      again = wire::write_moshi_control(frame.control);
    else
      return;
    DUET_CHECK(std::equal(again.begin(), again.end(), input.begin(), input.end()));
  } catch (const wire::WireError& error) {
    DUET_CHECK(!error.detail().subject.empty() && !error.detail().expected.empty());
  }
}

void fuzz_realtime(std::span<const uint8_t> input) {
  const std::string_view text(reinterpret_cast<const char*>(input.data()), input.size());
  wire::RealtimeWriter writer(wire::RealtimeProfile::kGa);
  const auto answer = [&](const wire::RealtimeError& error) {
    DUET_CHECK(!error.code.empty() && !error.message.empty());
    DUET_CHECK(wire::is_utf8(writer.error(error)));
  };
  const auto result = wire::parse_client_event(text);
  if (const auto* error = std::get_if<wire::RealtimeError>(&result)) {
    answer(*error);
    return;
  }
  const auto& event = std::get<wire::ClientEvent>(result);
  if (event.type == wire::ClientEventType::kItemCreate)
    DUET_CHECK(wire::is_utf8(writer.item_added(event.item, event.previous_item_id.value_or(""))));
  if (event.type != wire::ClientEventType::kSessionUpdate) return;
  for (const auto profile : {wire::RealtimeProfile::kGa, wire::RealtimeProfile::kBeta}) {
    wire::RealtimeSession session({.id = "sess_1", .model = "m", .profile = profile});
    const std::string before = session.to_json();
    if (const auto error = session.update(event.session_json, false)) {
      answer(*error);
      DUET_CHECK(session.to_json() == before);
    }
    DUET_CHECK(wire::is_utf8(writer.session_updated(session)));
    // What is said back is taken as it is.
    const std::string said = session.to_json();
    const auto error = session.update(said, false);
    DUET_CHECK_MSG(!error, error ? error->message : "");
    DUET_CHECK(session.to_json() == said);
  }
}

void fuzz_duplex_live(std::span<const uint8_t> input) {
  const std::string_view text(reinterpret_cast<const char*>(input.data()), input.size());
  wire::DuplexReader reader;
  wire::DuplexWriter writer;
  wire::LiveWriter live;
  wire::RealtimeSession session(
      {.id = "duplex-1", .model = "m", .profile = wire::RealtimeProfile::kDuplex});
  wire::DuplexState state;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    const std::string_view line = text.substr(at, end - at);
    at = end + 1;
    auto read = reader.read(line);
    if (const auto* event = std::get_if<wire::DuplexEvent>(&read)) {
      DUET_CHECK(event->played_ms >= 0 && event->server_event_seq >= 0);
      DUET_CHECK(wire::is_utf8(writer.turn_event(state, *event)));
    } else if (const auto* plain = std::get_if<wire::ClientEvent>(&read)) {
      if (plain->type == wire::ClientEventType::kSessionUpdate)
        static_cast<void>(session.update(plain->session_json, false));
      DUET_CHECK(
          wire::is_utf8(writer.session("session.updated", session, reader.settings(), state)));
    } else {
      DUET_CHECK(!std::get<wire::RealtimeError>(read).code.empty());
    }
    static_cast<void>(wire::asks_for_duplex(line));
    const auto parsed = wire::parse_live_event(line);
    if (const auto* error = std::get_if<wire::RealtimeError>(&parsed)) {
      DUET_CHECK(!error->code.empty() && wire::is_utf8(live.error(*error)));
    } else {
      const auto& event = std::get<wire::LiveEvent>(parsed);
      DUET_CHECK(event.settings.rate_hz >= 8000);
      DUET_CHECK(wire::is_utf8(live.acknowledged(event)));
    }
  }
}

}  // namespace duet::test
