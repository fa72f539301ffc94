#pragma once
// An engine without a model, for tests of everything around it: what it says, when, and how it
// fails is a script.

#include <algorithm>
#include <chrono>
#include <cmath>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "runtime/engine.h"

namespace duet::support {

/// A reply of the fake agent: a tone over whole steps, its text spread one word per step from the
/// first.
struct FakeReply {
  std::int64_t first_step = 0;
  std::int64_t num_steps = 0;
  std::string text;
};

struct FakeScript {
  runtime::EngineInfo info = [] {
    runtime::EngineInfo fake;
    fake.model_name = "fake";
    fake.has_user_activity = true;
    return fake;
  }();
  std::vector<FakeReply> replies;
  FakeReply begun{0, 4, "you asked me to"};  ///< What begin_turn makes it say, from the next step.
  double tone_hz = 440.0;
  float amplitude = 0.25F;
  bool echo = false;  ///< pcm is the input block, stretched to the output rate by repetition.
  std::int64_t throw_at_step = -1;       ///< do_step throws there.
  std::chrono::microseconds compute{0};  ///< Time every step takes.
  float activity_threshold = 1e-3F;      ///< Mean |x| above which the user is said to speak.
  /// Words heard, by step.
  std::function<std::string(std::int64_t)> user_words;
};

class FakeSession : public runtime::Session {
 public:
  explicit FakeSession(const FakeScript& script) : Session(script.info), script_(&script) {}

  void begin_turn() override { begun_ = {{step_, script_->begun.num_steps, script_->begun.text}}; }
  void end_turn() override { ended_at_ = step_; }
  void say(std::string_view text) override {
    const std::string words(text);
    begun_ = {{step_, std::count(words.begin(), words.end(), ' ') + 1, words}};
  }

 private:
  void do_step(std::span<const float> block, runtime::StepOutput& out) override {
    const std::int64_t t = step_++;
    if (t == script_->throw_at_step) throw std::runtime_error("scripted failure\nsecond line");
    if (script_->compute.count() > 0) std::this_thread::sleep_for(script_->compute);
    const auto size = static_cast<std::size_t>(script_->info.output_block_samples);
    out.pcm.assign(size, 0.0F);
    double level = 0.0;
    for (const float x : block) level += static_cast<double>(std::abs(x));
    level /= static_cast<double>(block.size());
    out.user_speaking = level > static_cast<double>(script_->activity_threshold) ? 0.95F : 0.05F;
    if (script_->user_words) out.user_text = script_->user_words(t);
    if (script_->echo) {
      for (std::size_t i = 0; i < size; ++i) out.pcm[i] = block[i * block.size() / size];
    }
    std::vector<FakeReply> replies = script_->replies;
    if (begun_) replies.push_back(*begun_);
    for (const FakeReply& reply : replies) {
      const std::int64_t into = t - reply.first_step;
      if (into < 0 || into >= reply.num_steps) continue;
      const bool is_cut =
          ended_at_ > reply.first_step && ended_at_ < reply.first_step + reply.num_steps;
      if (is_cut && t > ended_at_) continue;
      out.agent_turn_started = into == 0;
      out.agent_turn_ended = into == reply.num_steps - 1 || (is_cut && t == ended_at_);
      out.agent_text = word(reply.text, into);
      for (std::size_t i = 0; i < size; ++i) {
        const auto n =
            static_cast<double>(t * static_cast<std::int64_t>(size) + static_cast<std::int64_t>(i));
        out.pcm[i] =
            script_->amplitude * static_cast<float>(std::sin(2.0 * M_PI * script_->tone_hz * n /
                                                             script_->info.output_rate_hz));
      }
    }
    out.codes.assign(static_cast<std::size_t>(script_->info.num_codebooks), 0);
    out.text_token = 0;
  }
  void do_reset() override {
    step_ = 0;
    begun_.reset();
    ended_at_ = -1;
  }

  /// The index-th word of text, later ones with their leading space; empty past the end.
  static std::string word(const std::string& text, std::int64_t index) {
    std::size_t begin = 0;
    for (std::int64_t i = 0; i < index && begin != std::string::npos; ++i)
      begin = text.find(' ', begin + 1);
    if (begin == std::string::npos || text.empty()) return "";
    return text.substr(begin, text.find(' ', begin + 1) - begin);
  }

  const FakeScript* script_;
  std::int64_t step_ = 0, ended_at_ = -1;
  std::optional<FakeReply> begun_;
};

class FakeEngine : public runtime::Engine {
 public:
  explicit FakeEngine(FakeScript script) : script_(std::move(script)) {}
  const runtime::EngineInfo& info() const noexcept override { return script_.info; }
  std::unique_ptr<runtime::Session> make_session(
      const runtime::SessionOptions& options) const override {
    runtime::validate(options);
    return std::make_unique<FakeSession>(script_);
  }

 private:
  FakeScript script_;
};

}  // namespace duet::support
