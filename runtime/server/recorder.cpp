#include "runtime/server/recorder.h"

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "audio/audio_file.h"
#include "audio/resampler.h"
#include "runtime/core/error.h"
#include "runtime/core/log.h"

namespace duet::server {

struct Recording::Impl {
  Impl(const std::string& base, const runtime::EngineInfo& info)
      : wav(base + ".wav", info.output_rate_hz, 2),
        words(base + ".jsonl"),
        step_s(info.step_seconds),
        block(static_cast<std::size_t>(info.block_samples)),
        resampler(info.input_rate_hz, info.output_rate_hz) {}

  audio::WavWriter wav;
  std::ofstream words;
  double step_s;
  std::size_t block;
  audio::Resampler resampler;
  std::vector<float> user, stereo;  // `user`: resampled, not yet written.
  bool has_failed = false;

  void write_line(nlohmann::json line, const Step& step) {
    line["t"] = static_cast<double>(step.index) * step_s;
    words << line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) << '\n';
  }
};

Recording::Recording() = default;

std::unique_ptr<Recording> Recording::open(const std::string& folder, const std::string& session_id,
                                           const runtime::EngineInfo& info) {
  try {
    std::filesystem::create_directories(folder);
    std::unique_ptr<Recording> recording(new Recording);
    recording->impl_ = std::make_unique<Impl>(folder + '/' + session_id, info);
    return recording;
  } catch (const std::exception& error) {
    core::log_warning('[' + session_id + "] not recorded: " + error.what());
    return nullptr;
  }
}

Recording::~Recording() {
  if (!impl_ || impl_->has_failed) return;
  try {
    impl_->wav.commit();
  } catch (const std::exception& error) {
    core::log_warning(std::string("recording lost: ") + error.what());
  }
}

void Recording::add(const Step& step) {
  Impl& it = *impl_;
  if (it.has_failed) return;
  const std::vector<float> silence(step.input.empty() ? it.block : 0, 0.0F);
  it.resampler.process(step.input.empty() ? silence : step.input, it.user);
  it.stereo.clear();
  const std::size_t num = step.out.pcm.size();
  for (std::size_t i = 0; i < num; ++i) {
    it.stereo.push_back(i < it.user.size() ? it.user[i] : 0.0F);
    it.stereo.push_back(step.out.pcm[i]);
  }
  it.user.erase(it.user.begin(),
                it.user.begin() + static_cast<std::ptrdiff_t>(std::min(num, it.user.size())));
  try {
    it.wav.write(it.stereo);
  } catch (const std::exception& error) {
    it.has_failed = true;
    core::log_warning(std::string("recording stopped: ") + error.what());
    return;
  }
  if (!step.out.user_text.empty()) it.write_line({{"user", step.out.user_text}}, step);
  if (step.out.agent_turn_started) it.write_line({{"event", "agent_turn_started"}}, step);
  if (!step.out.agent_text.empty()) it.write_line({{"agent", step.out.agent_text}}, step);
  if (step.out.agent_turn_ended) it.write_line({{"event", "agent_turn_ended"}}, step);
}

}  // namespace duet::server
