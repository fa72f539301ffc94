#include "runtime/engine.h"

#include <algorithm>
#include <cmath>

#include "runtime/core/error.h"

namespace duet::runtime {

namespace {

bool all_finite(std::span<const float> samples) {
  return std::all_of(samples.begin(), samples.end(), [](float x) { return std::isfinite(x); });
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

void Session::step(std::span<const float> block, StepOutput& out) {
  out.clear();
  const std::string where = "step " + std::to_string(num_steps_) + ": ";
  if (poisoned_)
    throw StepError(where + "the session is poisoned by an earlier failure; reset it first");
  poisoned_ = true;  // Until the end of this function proves otherwise.
  if (block.size() != static_cast<std::size_t>(info_->block_samples)) {
    throw StepError(where + "expected a block of " + std::to_string(info_->block_samples) +
                    " samples, found " + std::to_string(block.size()));
  }
  if (!all_finite(block)) throw StepError(where + "a sample of the input block is not finite");
  try {
    do_step(block, out);
  } catch (const std::exception& error) {
    std::string text =
        error.what();  // LibTorch's messages carry a stack trace: keep the first line.
    text.resize(std::min(text.size(), text.find('\n')));
    throw StepError(where + text);
  }
  if (out.pcm.size() != static_cast<std::size_t>(info_->output_block_samples)) {
    throw StepError(where + "the engine gave " + std::to_string(out.pcm.size()) +
                    " samples instead of " + std::to_string(info_->output_block_samples));
  }
  if (!all_finite(out.pcm)) throw StepError(where + "the engine gave a sample that is not finite");
  poisoned_ = false;
  ++num_steps_;
}

void Session::reset() {
  do_reset();  // A throw leaves the session poisoned or as it was.
  num_steps_ = 0;
  poisoned_ = false;
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
