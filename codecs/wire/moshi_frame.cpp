#include "codecs/wire/moshi_frame.h"

#include "codecs/wire/utf8.h"

namespace duet::wire {
namespace {

constexpr const char* kWhere = "Moshi message";

[[noreturn]] void fail(const std::string& subject, const std::string& expected,
                       const std::string& found) {
  throw WireError({.subject = subject, .expected = expected, .found = found, .file = kWhere});
}

uint32_t read_u32(std::span<const uint8_t> bytes, size_t at) {
  return bytes[at] | uint32_t(bytes[at + 1]) << 8 | uint32_t(bytes[at + 2]) << 16 |
         uint32_t(bytes[at + 3]) << 24;
}

std::vector<uint8_t> frame(MoshiKind kind, std::span<const uint8_t> payload) {
  std::vector<uint8_t> bytes;
  bytes.reserve(1 + payload.size());
  bytes.push_back(static_cast<uint8_t>(kind));
  bytes.insert(bytes.end(), payload.begin(), payload.end());
  return bytes;
}

std::vector<uint8_t> text_frame(MoshiKind kind, std::string_view text) {
  const std::string clean = is_utf8(text) ? std::string(text) : replace_invalid_utf8(text);
  return frame(kind, {reinterpret_cast<const uint8_t*>(clean.data()), clean.size()});
}

}  // namespace

MoshiFrame parse_moshi_frame(std::span<const uint8_t> message, const MoshiLimits& limits) {
  if (message.empty()) fail("message", "a kind byte", "nothing");
  MoshiFrame frame;
  frame.kind_byte = message[0];
  frame.kind = message[0] <= 6 ? static_cast<MoshiKind>(message[0]) : MoshiKind::kUnknown;
  frame.payload = message.subspan(1);
  const size_t limit =
      frame.kind == MoshiKind::kAudio ? limits.max_audio_bytes : limits.max_text_bytes;
  if (frame.payload.size() > limit)
    fail("payload of kind " + std::to_string(frame.kind_byte),
         "at most " + std::to_string(limit) + " bytes",
         std::to_string(frame.payload.size()) + " bytes");
  switch (frame.kind) {
    case MoshiKind::kHandshake:
      if (frame.payload.empty()) break;
      if (frame.payload.size() != 8)
        fail("handshake", "1 or 9 bytes", std::to_string(message.size()) + " bytes");
      frame.protocol_version = read_u32(frame.payload, 0);
      frame.model_version = read_u32(frame.payload, 4);
      break;
    case MoshiKind::kText:
    case MoshiKind::kMetadata:
    case MoshiKind::kError:
      frame.text = {reinterpret_cast<const char*>(frame.payload.data()), frame.payload.size()};
      if (!is_utf8(frame.text))
        fail("payload of kind " + std::to_string(frame.kind_byte), "UTF-8", "other bytes");
      break;
    case MoshiKind::kControl:
      if (frame.payload.size() != 1)
        fail("control", "2 bytes", std::to_string(message.size()) + " bytes");
      if (frame.payload[0] > 3)
        fail("control", "0 (start), 1 (end turn), 2 (pause) or 3 (restart)",
             std::to_string(frame.payload[0]));
      frame.control = static_cast<MoshiControl>(frame.payload[0]);
      break;
    case MoshiKind::kAudio:
    case MoshiKind::kPing:
    case MoshiKind::kUnknown: break;
  }
  return frame;
}

std::vector<uint8_t> write_moshi_handshake() { return std::vector<uint8_t>(9, 0); }

std::vector<uint8_t> write_moshi_audio(std::span<const uint8_t> ogg_bytes) {
  return frame(MoshiKind::kAudio, ogg_bytes);
}

std::vector<uint8_t> write_moshi_text(std::string_view text) {
  return text_frame(MoshiKind::kText, text);
}

std::vector<uint8_t> write_moshi_metadata(std::string_view json) {
  return text_frame(MoshiKind::kMetadata, json);
}

std::vector<uint8_t> write_moshi_error(std::string_view message) {
  return text_frame(MoshiKind::kError, message);
}

std::vector<uint8_t> write_moshi_control(MoshiControl control) {
  const auto byte = static_cast<uint8_t>(control);
  return frame(MoshiKind::kControl, {&byte, 1});
}

std::vector<uint8_t> write_moshi_ping() { return frame(MoshiKind::kPing, {}); }

}  // namespace duet::wire
