// Ten thousand damaged inputs for each parser, the same ones every time: what a fuzzer would find
// in its first seconds is found in every test run. Longer runs: tests/fuzz.
#include <catch2/catch.hpp>
#include <random>
#include <string>

#include "codecs/wire/moshi_frame.h"
#include "codecs/wire/ogg_opus_encoder.h"
#include "tests/support/speech_like.h"
#include "tests/support/wire_fuzz.h"

using Bytes = std::vector<uint8_t>;

namespace {

constexpr int kNumMutations = 10000;

// One to four changes: bytes set, bits flipped, parts cut out, doubled, moved or overwritten by
// numbers at which parsers break.
Bytes mutate(Bytes bytes, std::mt19937& random) {
  constexpr uint8_t kEdges[] = {0, 1, 2, 3, 0x7f, 0x80, 0xff, '"', '{', '[', '\\', 'O'};
  const unsigned num_changes = 1 + random() % 4;
  for (unsigned change = 0; change < num_changes && !bytes.empty(); ++change) {
    const size_t at = random() % bytes.size();
    const size_t length = std::min<size_t>(bytes.size() - at, 1 + random() % 40);
    const auto begin = bytes.begin() + static_cast<std::ptrdiff_t>(at);
    const auto end = begin + static_cast<std::ptrdiff_t>(length);
    switch (random() % 6) {
      case 0: bytes[at] = static_cast<uint8_t>(random()); break;
      case 1: bytes[at] ^= static_cast<uint8_t>(1u << random() % 8); break;
      case 2: bytes[at] = kEdges[random() % std::size(kEdges)]; break;
      case 3: bytes.erase(begin, end); break;
      case 4: {
        const Bytes copy(begin, end);
        const size_t to = random() % bytes.size();
        bytes.insert(bytes.begin() + static_cast<std::ptrdiff_t>(to), copy.begin(), copy.end());
        break;
      }
      default: bytes.resize(at); break;
    }
  }
  return bytes;
}

template <typename Fuzz>
void run(const std::vector<Bytes>& seeds, Fuzz fuzz) {
  for (const Bytes& seed : seeds) fuzz(seed);
  std::mt19937 random(20);
  for (int i = 0; i < kNumMutations; ++i) fuzz(mutate(seeds[random() % seeds.size()], random));
  SUCCEED();  // A broken promise aborts; see wire_fuzz.h.
}

}  // namespace

TEST_CASE("damaged Ogg-Opus streams break nothing", "[property]") {
  std::vector<Bytes> seeds;
  const auto samples = duet::test::speech_like(2400, 24000);
  for (const int packet_ms : {5, 20, 40})
    // Strict or resync, checksums as they are or repaired, pieces of 1 to 61 bytes.
    for (const int mode : {0x02, 0x03, 0x01, 0x7e, 0xf3}) {
      Bytes bytes = {static_cast<uint8_t>(mode)};
      duet::wire::OggOpusEncoder encoder({.packet_ms = packet_ms,
                                          .packets_per_page = packet_ms == 40 ? 1 : 3,
                                          .bitrate_bps = 12000,
                                          .complexity = 0});
      encoder.encode(samples, bytes);
      encoder.finish(bytes);
      seeds.push_back(bytes);
    }
  run(seeds, [](const Bytes& bytes) { duet::test::fuzz_ogg_opus(bytes); });
}

TEST_CASE("damaged Moshi messages break nothing", "[property]") {
  using namespace duet::wire;
  run({write_moshi_handshake(), write_moshi_audio(Bytes{'O', 'g', 'g', 'S'}),
       write_moshi_text(" gr\u00fc\u00df \U0001F44B"), write_moshi_control(MoshiControl::kPause),
       write_moshi_metadata("{\"a\":1}"), write_moshi_error("full"), write_moshi_ping()},
      [](const Bytes& bytes) { duet::test::fuzz_moshi_frame(bytes); });
}

TEST_CASE("damaged Realtime events break nothing", "[property]") {
  std::vector<Bytes> seeds;
  for (const std::string text : {
           R"({"type":"session.update","event_id":"e1","session":{"type":"realtime","model":"m",)"
           R"("output_modalities":["text"],"instructions":"\u00e9 \ud83d\ude00","audio":{"input":{)"
           R"("format":{"type":"audio/pcm","rate":24000},"transcription":{"model":"whisper-1"},)"
           R"("noise_reduction":{"type":"far_field"},"turn_detection":{"type":"server_vad",)"
           R"("threshold":0.5,"prefix_padding_ms":300,"create_response":false}},"output":{)"
           R"("format":{"type":"audio/pcmu"},"voice":"alloy","speed":1.5}},"tools":[{"type":)"
           R"("function","name":"f"}],"tool_choice":"auto","max_output_tokens":"inf"}})",
           R"({"type":"session.update","session":{"modalities":["audio","text"],"voice":"a",)"
           R"("input_audio_format":"g711_ulaw","output_audio_format":"pcm16","turn_detection":)"
           R"({"type":"semantic_vad","eagerness":"low"},"temperature":0.8}})",
           R"({"type":"input_audio_buffer.append","audio":"AAECAwQFBgcICQ=="})",
           R"({"type":"conversation.item.create","previous_item_id":null,"item":{"type":"message",)"
           R"("role":"user","content":[{"type":"input_text","text":"hi"},{"type":"input_audio",)"
           R"("audio":"AAA=","transcript":"t"}]}})",
           R"({"type":"conversation.item.truncate","item_id":"i","content_index":0,)"
           R"("audio_end_ms":1500})",
           R"({"type":"response.create","response":{"instructions":"x","conversation":"none"}})",
       })
    seeds.emplace_back(text.begin(), text.end());
  run(seeds, [](const Bytes& bytes) { duet::test::fuzz_realtime(bytes); });
}

TEST_CASE("damaged events of the duplex extensions and of GPT-Live break nothing", "[property]") {
  std::vector<Bytes> seeds;
  for (
      const std::string text :
      {R"({"type":"session.update","session":{"overlap_policy":"listen_only","extra_body":{"auto_response":false},"input_audio_format":"pcm_f32le","sample_rate_hz":16000}}
{"type":"input_audio_buffer.append","audio":"AAAAPwAAgL8="}
{"type":"playback.ack","item_id":"i","played_ms":80,"truncate":true})",
       R"({"type":"session.resume","session_id":"s","resume_token":"t","last_received_server_event_seq":7}
{"type":"turn.signal","event":"nod","payload":{"a":[1,2]}})",
       R"({"type":"session.start","session":{"model":"m","audio":{"format":{"type":"audio/pcm","rate":16000}},"delegation":{"type":"client"}}}
{"type":"session.commentary.append","delegation_id":null,"content":"words"})"})
    seeds.emplace_back(text.begin(), text.end());
  run(seeds, duet::test::fuzz_duplex_live);
}
