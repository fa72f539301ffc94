#include "tests/support/polite_server.h"

#include <cmath>
#include <nlohmann/json.hpp>
#include <vector>

#include "audio/resampler.h"
#include "codecs/wire/base64.h"
#include "codecs/wire/moshi_frame.h"
#include "codecs/wire/ogg_opus_decoder.h"
#include "codecs/wire/ogg_opus_encoder.h"
#include "codecs/wire/pcm.h"
#include "tests/support/polite_engine.h"

namespace duet::support {

void serve_moshi(FakeServer::Peer& peer, const std::function<bool(std::int64_t)>& on_step) {
  peer.send_binary(std::vector<std::uint8_t>{0});  // As Python servers shake hands.
  const PoliteEngine engine;
  const auto session = engine.make_session({});
  wire::OggOpusDecoder decoder;
  wire::OggOpusEncoder encoder;
  audio::Resampler to_engine(24000, 16000);
  std::vector<float> heard, input;
  runtime::StepOutput out;
  std::int64_t step = 0;
  while (const auto message = peer.read()) {
    const auto* bytes = reinterpret_cast<const std::uint8_t*>(message->data.data());
    heard.clear();
    decoder.decode(wire::parse_moshi_frame({bytes, message->data.size()}).payload, heard);
    to_engine.process(heard, input);
    while (input.size() >= 1280) {
      if (on_step && !on_step(step++)) return;
      session->step(std::span(input).first(1280), out);
      input.erase(input.begin(), input.begin() + 1280);
      std::vector<std::uint8_t> pages;
      encoder.encode(out.pcm, pages);
      if (!out.agent_text.empty()) peer.send_binary(wire::write_moshi_text(out.agent_text));
      peer.send_binary(wire::write_moshi_audio(pages));
    }
  }
}

std::string audio_delta(double seconds) {
  std::vector<float> tone(static_cast<std::size_t>(seconds * 24000));
  for (std::size_t i = 0; i < tone.size(); ++i)
    tone[i] = 0.25F * static_cast<float>(std::sin(0.1 * static_cast<double>(i)));
  std::vector<std::uint8_t> bytes;
  wire::write_pcm(wire::AudioFormat::kPcm16, tone, bytes);
  return nlohmann::json{{"type", "response.output_audio.delta"},
                        {"item_id", "item_1"},
                        {"delta", wire::base64_encode(bytes)}}
      .dump();
}

bool open_session(FakeServer::Peer& peer) {
  peer.send_text(R"({"type":"session.created","session":{}})");
  const auto update = peer.read();
  if (!update) return false;
  if (nlohmann::json::parse(update->data)["session"]["audio"]["input"]["format"]["rate"] != 24000)
    return false;
  peer.send_text(R"({"type":"session.updated","session":{}})");
  return true;
}

void serve_openai(FakeServer::Peer& peer, std::string& truncated) {
  if (!open_session(peer)) return;
  int loud = 0, quiet = 0;
  bool owes = false;
  while (const auto message = peer.read()) {
    const nlohmann::json event = nlohmann::json::parse(message->data);
    if (event["type"] == "conversation.item.truncate") truncated = message->data;
    if (event["type"] != "input_audio_buffer.append") continue;
    const auto bytes = wire::base64_decode(event["audio"].get<std::string>());
    std::vector<float> samples;
    wire::PcmReader(wire::AudioFormat::kPcm16).read(bytes, samples);
    double level = 0.0;
    for (const float x : samples) level += static_cast<double>(std::abs(x));
    const bool sounds = level > 0.02 * static_cast<double>(samples.size());
    loud = sounds ? loud + 1 : 0;
    quiet = sounds ? 0 : quiet + 1;
    if (loud == 3) {
      owes = true;
      peer.send_text(R"({"type":"input_audio_buffer.speech_started","audio_start_ms":0})");
    }
    if (!owes || quiet != 20) continue;
    owes = false;
    peer.send_text(R"({"type":"response.created","response":{"status":"in_progress"}})");
    peer.send_text(nlohmann::json{
        {"type", "response.output_audio_transcript.delta"},
        {"delta",
         "Twelve."}}.dump());
    for (int i = 0; i < 6; ++i) peer.send_text(audio_delta(1.0));
    peer.send_text(R"({"type":"response.done","response":{"status":"completed"}})");
  }
}

}  // namespace duet::support
