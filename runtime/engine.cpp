#include "runtime/engine.h"

#include <algorithm>
#include <cmath>

#include "runtime/core/error.h"

namespace duet::runtime {

namespace {

bool all_finite(std::span<const float> samples) {
  return std::all_of(samples.begin(), samples.end(), [](float x) { return std::isfinite(x); });
}

/// LibTorch's messages carry a stack trace.
std::string first_line(std::string text) {
  text.resize(std::min(text.size(), text.find('\n')));
  return text;
}

}  // namespace

void StepOutput::clear() {
  pcm.clear();
  agent_text.clear();
  agent_turn_started = false;
  agent_turn_ended = false;
  user_text.clear();
  user_speaking = 0.0F;
  codes.clear();
  text_token = -1;
}

std::string Session::place() const { return "step " + std::to_string(num_steps_) + ": "; }

void Session::begin_step(std::span<const float> block, StepOutput& out) {
  out.clear();
  if (poisoned_)
    throw StepError(place() + "the session is poisoned by an earlier failure; reset it first");
  poisoned_ = true;  // Until end_step proves otherwise.
  if (block.size() != static_cast<std::size_t>(info_->block_samples)) {
    throw StepError(place() + "expected a block of " + std::to_string(info_->block_samples) +
                    " samples, found " + std::to_string(block.size()));
  }
  if (!all_finite(block)) throw StepError(place() + "a sample of the input block is not finite");
}

void Session::end_step(const StepOutput& out) {
  if (out.pcm.size() != static_cast<std::size_t>(info_->output_block_samples)) {
    throw StepError(place() + "the engine gave " + std::to_string(out.pcm.size()) +
                    " samples instead of " + std::to_string(info_->output_block_samples));
  }
  if (!all_finite(out.pcm))
    throw StepError(place() + "the engine gave a sample that is not finite");
  poisoned_ = false;
  ++num_steps_;
}

void Session::step(std::span<const float> block, StepOutput& out) {
  begin_step(block, out);
  try {
    do_step(block, out);
  } catch (const std::exception& error) {
    throw StepError(place() + first_line(error.what()));
  }
  end_step(out);
}

void Session::reset() {
  do_reset();  // A throw leaves the session poisoned or as it was.
  num_steps_ = 0;
  poisoned_ = false;
}

void Engine::step_together(std::span<StepJob> jobs) const {
  std::vector<StepJob*> sound;
  for (StepJob& job : jobs) {
    job.error.clear();
    try {
      job.session->begin_step(job.block, *job.out);
      sound.push_back(&job);
    } catch (const StepError& error) {
      job.error = error.what();
    }
  }
  if (!sound.empty()) do_step_together(sound);
  for (StepJob* job : sound) {
    if (!job->error.empty()) {
      job->error = job->session->place() + first_line(job->error);
      continue;
    }
    try {
      job->session->end_step(*job->out);
    } catch (const StepError& error) {
      job->error = error.what();
    }
  }
}

void Engine::do_step_together(std::span<StepJob* const> jobs) const {
  for (StepJob* job : jobs) {
    try {
      job->session->do_step(job->block, *job->out);
    } catch (const std::exception& error) {
      job->error = error.what();
      if (job->error.empty()) job->error = "failed";
    }
  }
}

void validate(const SessionOptions& options) {
  if (!(options.temperature == 0.0 || (options.temperature > 0.0 && options.temperature <= 2.0))) {
    throw core::ConfigError({.subject = "temperature",
                             .expected = "0 (greedy) or a value in (0, 2]",
                             .found = std::to_string(options.temperature),
                             .file = "",
                             .hint = ""});
  }
  if (options.interruptibility && !(std::abs(*options.interruptibility) <= 20.0)) {
    throw core::ConfigError({.subject = "interruptibility",
                             .expected = "a value in [-20, 20]",
                             .found = std::to_string(*options.interruptibility),
                             .file = "",
                             .hint = ""});
  }
}

}  // namespace duet::runtime
