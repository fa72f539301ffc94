// OpenAI Realtime, general availability, as a WebSocket client. Source: openai/openai-python,
// src/openai/types/realtime/*_event.py.

#include <algorithm>
#include <deque>
#include <nlohmann/json.hpp>

#include "codecs/wire/base64.h"
#include "codecs/wire/pcm.h"
#include "runtime/client/server_partner.h"

namespace duet::client {

using runtime::StepOutput;
using runtime::bench::LostError;

namespace {

/// Sound that a server streams in real time is a step or two ahead at most; only what was sent
/// ahead is dropped when the user speaks. The rest the server has decided about itself.
constexpr double kAheadSeconds = 0.2;
constexpr double kMaxQueuedSeconds = 600.0;

[[noreturn]] void fail(const std::string& subject, const std::string& expected,
                       const std::string& found) {
  throw wire::WireError(
      {.subject = subject, .expected = expected, .found = found, .file = "", .hint = ""});
}

std::string target(const ServerOptions& options) {
  return options.model.empty() ? "/v1/realtime" : "/v1/realtime?model=" + options.model;
}

class OpenAiPartner : public ServerPartner {
 public:
  OpenAiPartner(const ServerOptions& options, const runtime::EngineInfo& info)
      : ServerPartner(options, info, target(options)), info_(&info) {
    await("session.created", [this] { return is_created_; });
    const nlohmann::json format = {{"type", "audio/pcm"},
                                   {"rate", wire::rate_hz(wire::AudioFormat::kPcm16)}};
    const nlohmann::json session = {
        {"type", "realtime"},
        {"output_modalities", {"audio"}},
        {"audio", {{"input", {{"format", format}}}, {"output", {{"format", format}}}}}};
    socket().send_text(nlohmann::json{{"type", "session.update"}, {"session", session}}.dump());
    await("session.updated", [this] { return is_updated_; });
    num_events_ = 0;
  }

 private:
  void send_block(std::span<const float> block) override {
    bytes_.clear();
    wire::write_pcm(wire::AudioFormat::kPcm16, block, bytes_);
    socket().send_text(R"({"type":"input_audio_buffer.append","audio":")" +
                       wire::base64_encode(bytes_) + "\"}");
  }

  void on_message(const Message& message) override {
    if (!message.is_text) fail("message", "text", "binary");
    const nlohmann::json event = nlohmann::json::parse(message.data, nullptr, false);
    if (!event.is_object() || !event.contains("type") || !event["type"].is_string())
      fail("event", "a JSON object with a type", message.data.substr(0, 60));
    last_event_ = WebSocket::Clock::now();
    ++num_events_;
    try {
      handle(event["type"].get<std::string>(), event);
    } catch (const nlohmann::json::exception& error) {
      fail(event["type"].get<std::string>(), "the fields of its type", error.what());
    }
  }

  void handle(const std::string& type, const nlohmann::json& event) {
    if (type == "session.created") {
      is_created_ = true;
    } else if (type == "session.updated") {
      is_updated_ = true;
    } else if (type == "response.output_audio.delta" || type == "response.audio.delta") {
      add_audio(event);
    } else if (type == "response.output_audio_transcript.delta" ||
               type == "response.audio_transcript.delta") {
      text_ += event.at("delta").get<std::string>();
    } else if (type == "response.created") {
      has_started_ = is_open_ = true;
    } else if (type == "response.done") {
      is_open_ = false;
      if (event.at("response").value("status", "") == "cancelled") drop();
    } else if (type == "input_audio_buffer.speech_started") {
      if (seconds(queue_.size()) > kAheadSeconds) drop();
    } else if (type == "error") {
      const nlohmann::json& error = event.at("error");
      note_error(error.is_object() && error.contains("message") && error["message"].is_string()
                     ? error["message"].get<std::string>()
                     : error.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
      if (!is_updated_) {
        // "Try again later" is no refusal.
        const std::string kind = error.is_object() ? error.value("type", "") : "";
        throw LostError("it refuses the session",
                        kind == "rate_limit_error" || kind == "server_error");
      }
    }
  }

  void add_audio(const nlohmann::json& event) {
    const std::string item = event.value("item_id", "");
    if (item != item_id_) {
      item_id_ = item;
      num_item_samples_ = 0;
      reader_.reset();
    }
    samples_.clear();
    reader_.read(wire::base64_decode(event.at("delta").get<std::string>()), samples_);
    num_item_samples_ += samples_.size();
    queue_.insert(queue_.end(), samples_.begin(), samples_.end());
    if (seconds(queue_.size()) > kMaxQueuedSeconds) fail("audio", "a reply", "10 minutes of it");
  }

  /// Playing ends here; a server that cut nothing itself is told how much was heard.
  void drop() {
    if (queue_.empty()) return;
    const bool is_cut = seconds(queue_.size()) > kAheadSeconds;
    const std::size_t num_heard = num_item_samples_ - std::min(num_item_samples_, queue_.size());
    queue_.clear();
    if (!is_cut || item_id_.empty()) return;
    socket().send_text(
        nlohmann::json{{"type", "conversation.item.truncate"},
                       {"item_id", item_id_},
                       {"content_index", 0},
                       {"audio_end_ms", static_cast<std::int64_t>(1e3 * seconds(num_heard))}}
            .dump());
  }

  double seconds(std::size_t num_samples) const {
    return static_cast<double>(num_samples) / info_->output_rate_hz;
  }

  void collect(StepOutput& out) override {
    if (is_open_ && queue_.empty() && seconds_since(last_event_) > options().stall_timeout_s)
      throw LostError("a response stopped in its middle: no event came any more", true);
    play(out, static_cast<std::size_t>(info_->output_block_samples));
  }
  bool is_waiting() const override { return false; }
  void collect_rest(StepOutput& out) override {
    if (num_events_ == 0) throw LostError("not one event came: the server is silent", true);
    play(out, 0);
  }

  void play(StepOutput& out, std::size_t num_samples) {
    const auto n = static_cast<std::ptrdiff_t>(std::min(num_samples, queue_.size()));
    out.pcm.assign(queue_.begin(), queue_.begin() + n);
    queue_.erase(queue_.begin(), queue_.begin() + n);
    out.pcm.resize(num_samples, 0.0F);
    out.agent_turn_started = std::exchange(has_started_, false);
    out.agent_text.swap(text_);
    text_.clear();
  }

  const runtime::EngineInfo* info_;
  wire::PcmReader reader_{wire::AudioFormat::kPcm16};
  std::vector<std::uint8_t> bytes_;
  std::vector<float> samples_;
  std::deque<float> queue_;  // To be played.
  std::string item_id_, text_;
  std::size_t num_item_samples_ = 0;
  bool is_created_ = false, is_updated_ = false;
  bool has_started_ = false, is_open_ = false;
  std::int64_t num_events_ = 0;
  WebSocket::Clock::time_point last_event_;
};

}  // namespace

std::unique_ptr<runtime::bench::Partner> connect_openai(const ServerOptions& options,
                                                        const runtime::EngineInfo& info) {
  return std::make_unique<OpenAiPartner>(options, info);
}

}  // namespace duet::client
