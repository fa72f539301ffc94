#pragma once
// Messages of Moshi's binary WebSocket protocol (/api/chat): a kind byte and its payload.
// Source: kyutai-labs/moshi, rust/protocol.md; how strict each client is, from its sources: the web
// client's decoder throws on kinds that it does not know, the Python one warns and goes on. So a
// server built on this sends kinds 0, 1, 2, 4 and 5 only and takes anything. Not supported: the
// moshi-server extensions (7 coloured text, 8 image, 9 codes), which are kUnknown here.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "codecs/wire/wire_error.h"

namespace duet::wire {

enum class MoshiKind : uint8_t {
  kHandshake = 0,  ///< Server, once: audio may be sent from now on.
  kAudio = 1,      ///< Both: a piece of an Ogg-Opus stream, cut anywhere, possibly empty.
  kText = 2,       ///< Server: UTF-8 pieces; a leading space begins a word.
  kControl = 3,    ///< Client: one byte, MoshiControl. Without effect in full duplex.
  kMetadata = 4,   ///< Server: a JSON object.
  kError = 5,      ///< Server: UTF-8 for the user.
  kPing = 6,       ///< Nothing.
  kUnknown = 255,  ///< Any other byte; to be ignored.
};

enum class MoshiControl : uint8_t { kStart = 0, kEndTurn = 1, kPause = 2, kRestart = 3 };

/// One message, taken apart. Views point into the message that was parsed.
struct MoshiFrame {
  MoshiKind kind = MoshiKind::kUnknown;
  uint8_t kind_byte = 0;             ///< As sent; of interest for kUnknown.
  std::span<const uint8_t> payload;  ///< Everything after the kind byte.
  std::string_view text;             ///< kText, kMetadata, kError: the payload, valid UTF-8.
  MoshiControl control = MoshiControl::kStart;  ///< kControl.
  /// kHandshake: versions, 0 when the message is the kind byte alone (Python servers).
  uint32_t protocol_version = 0, model_version = 0;
};

struct MoshiLimits {
  size_t max_audio_bytes = 1 << 20;
  size_t max_text_bytes = 1 << 16;  ///< Of kinds 2, 4 and 5, and of unknown ones.
};

/// Throws WireError for an empty message, a payload over its limit, a handshake of other than 1 or
/// 9 bytes, text that is not UTF-8, a control that is not 0 to 3. Pings may carry anything.
MoshiFrame parse_moshi_frame(std::span<const uint8_t> message, const MoshiLimits& limits = {});

/// Nine bytes, both versions 0, as Moshi's Rust server sends it.
std::vector<uint8_t> write_moshi_handshake();
std::vector<uint8_t> write_moshi_audio(std::span<const uint8_t> ogg_bytes);
/// Text, metadata and error replace what is not UTF-8 by U+FFFD: browsers end a connection over it.
std::vector<uint8_t> write_moshi_text(std::string_view text);
/// `json`: an object as text; the caller's responsibility.
std::vector<uint8_t> write_moshi_metadata(std::string_view json);
std::vector<uint8_t> write_moshi_error(std::string_view message);
std::vector<uint8_t> write_moshi_control(MoshiControl control);  ///< Clients only.
std::vector<uint8_t> write_moshi_ping();                         ///< Never by a server.

}  // namespace duet::wire
