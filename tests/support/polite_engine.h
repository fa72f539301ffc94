#pragma once
// An engine with manners instead of a model: a rule made of steps answers and falls silent, so that
// every latency of a benchmark is known beforehand.

#include <algorithm>
#include <chrono>
#include <cmath>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "runtime/engine.h"

namespace duet::support {

struct Manners {
  int answer_after = 5;           ///< Silent steps after the user's sound before it answers.
  int answer_steps = 50;          ///< Length of an answer.
  int stop_after = 4;             ///< Steps of user's sound until it falls silent; 0: never.
  float threshold = 0.01F;        ///< Mean |x| of a step in which the user sounds.
  std::string text = "Twelve.";   ///< Said at the first step of an answer.
  std::vector<float> voice = {};  ///< Its sound, looped; empty: a tone.
  std::int64_t throw_at = -1;
  std::chrono::microseconds compute{0};  ///< Time every step takes.
};

class PoliteSession : public runtime::Session {
 public:
  PoliteSession(const runtime::EngineInfo& info, const Manners& manners)
      : Session(info), manners_(manners) {}

  void end_turn() override { left_ = std::min(left_, 1); }

 private:
  void do_step(std::span<const float> block, runtime::StepOutput& out) override {
    if (step_ == manners_.throw_at) throw std::runtime_error("scripted failure");
    if (manners_.compute.count() > 0) std::this_thread::sleep_for(manners_.compute);
    double level = 0.0;
    for (const float x : block) level += static_cast<double>(std::abs(x));
    const bool sounds =
        level > static_cast<double>(manners_.threshold) * static_cast<double>(block.size());
    num_heard_ = sounds ? num_heard_ + 1 : 0;
    num_quiet_ = sounds ? 0 : num_quiet_ + 1;
    if (sounds) owes_answer_ = true;
    if (left_ > 0 && manners_.stop_after > 0 && num_heard_ >= manners_.stop_after) left_ = 0;
    if (left_ == 0 && owes_answer_ && num_quiet_ >= manners_.answer_after) {
      left_ = manners_.answer_steps;
      owes_answer_ = false;
      out.agent_turn_started = true;
      out.agent_text = manners_.text;
    }
    const auto size = static_cast<std::size_t>(info().output_block_samples);
    out.pcm.assign(size, 0.0F);
    if (left_ > 0) {
      --left_;
      for (std::size_t i = 0; i < size; ++i)
        out.pcm[i] = manners_.voice.empty()
                         ? 0.25F * static_cast<float>(std::sin(0.1 * static_cast<double>(i)))
                         : manners_.voice[said_++ % manners_.voice.size()];
      out.agent_turn_ended = left_ == 0;
    }
    out.codes.assign(static_cast<std::size_t>(info().num_codebooks), 0);
    out.text_token = 0;
    ++step_;
  }
  void do_reset() override {
    step_ = num_heard_ = num_quiet_ = 0;
    left_ = 0;
    said_ = 0;
    owes_answer_ = false;
  }

  Manners manners_;
  std::int64_t step_ = 0;
  std::int64_t num_heard_ = 0;
  std::int64_t num_quiet_ = 0;
  int left_ = 0;
  std::size_t said_ = 0;
  bool owes_answer_ = false;
};

class PoliteEngine : public runtime::Engine {
 public:
  explicit PoliteEngine(Manners manners = {}) : manners_(std::move(manners)) {
    info_.model_name = "polite";
    info_.dtype = "none";
  }
  const runtime::EngineInfo& info() const noexcept override { return info_; }
  std::unique_ptr<runtime::Session> make_session(
      const runtime::SessionOptions& options) const override {
    runtime::validate(options);
    return std::make_unique<PoliteSession>(info_, manners_);
  }

 private:
  runtime::EngineInfo info_;
  Manners manners_;
};

}  // namespace duet::support
