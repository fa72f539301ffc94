#pragma once
// What clients of Moshi's protocol put into the URL (/api/chat?text_temperature=0.7&...), and the
// metadata message that answers it. Source: kyutai-labs/moshi, rust/moshi-backend/src/standalone.rs
// (names, defaults) and client/src/pages/Conversation/hooks/useServerInfo.ts (the keys that the web
// client's schema demands); NVIDIA/personaplex, moshi/moshi/server.py (text_prompt, voice_prompt,
// seed). All are optional here; unknown names are ignored, as the web client adds its own.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "codecs/wire/wire_error.h"

namespace duet::wire {

struct MoshiQuery {
  double text_temperature = 0.8;        ///< 0 to 10.
  int text_topk = 250;                  ///< 1 to 1000000.
  double audio_temperature = 0.8;       ///< 0 to 10.
  int audio_topk = 250;                 ///< 1 to 1000000.
  int max_steps = 4500;                 ///< 1 to 4500: 80 ms each, six minutes.
  double pad_mult = 0.0;                ///< -100 to 100.
  int repetition_penalty_context = 64;  ///< 0 to 100000.
  double repetition_penalty = 1.0;      ///< 0.01 to 100.
  std::optional<uint64_t> text_seed, audio_seed, seed;
  std::string text_prompt, voice_prompt;  ///< A voice's name: never a path to be opened.
  std::string auth_id = {};               ///< `auth_id` or `worker_auth_id`.
};

/// `query`: what follows the '?', percent-encoded, '+' a space. Throws WireError naming the
/// parameter: not a number, out of range, given twice, not UTF-8, a bad escape, over 64 KiB in all.
MoshiQuery parse_moshi_query(std::string_view query);

/// The facts of a server for its metadata message.
struct MoshiServerInfo {
  std::string model_name, codec_name, instance_name;
  std::string version, commit, build_date;
};

/// The JSON of a kind-4 message with every key of the web client's schema; those about Rust are
/// "none".
std::string moshi_metadata_json(const MoshiQuery& query, const MoshiServerInfo& info);

}  // namespace duet::wire
