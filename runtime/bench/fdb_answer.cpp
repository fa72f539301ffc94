#include <algorithm>
#include <filesystem>

#include "audio/audio_file.h"
#include "audio/resampler.h"
#include "runtime/bench/fdb_score.h"
#include "runtime/timeline.h"

namespace duet::runtime::bench::fdb {

namespace {

namespace fs = std::filesystem;
/// As Moshi's client there writes it.
constexpr int kRateHz = 24000;

struct Answer {
  std::vector<float> samples;  ///< At kRateHz, as long as the input.
  std::vector<AgentTurn> turns;
  bool is_stopped = false;
};

std::size_t scaled(std::size_t size, int from_hz, int to_hz) {
  return (size * static_cast<std::size_t>(to_hz) + static_cast<std::size_t>(from_hz) / 2) /
         static_cast<std::size_t>(from_hz);
}

Answer answer_one(const System& system, const std::string& input, const SessionOptions& session,
                  const SuiteHooks& hooks) {
  const EngineInfo& info = system.info();
  const audio::AudioClip clip = audio::load_audio_file(input);
  std::vector<float> user = audio::resample(clip.samples, clip.rate_hz, info.input_rate_hz);
  const auto block = static_cast<std::size_t>(info.block_samples);
  const std::size_t num_steps = (user.size() + block - 1) / block;
  user.resize(num_steps * block, 0.0F);
  const auto partner = system.connect(session);
  TimelineRecorder recorder(info);
  std::vector<float> agent(static_cast<std::size_t>(info.output_block_samples), 0.0F);
  StepOutput out;
  Answer answer;
  for (std::size_t i = 0; i < num_steps; ++i) {
    if (hooks.should_stop && hooks.should_stop()) {
      answer.is_stopped = true;
      return answer;
    }
    partner->step(std::span(user).subspan(i * block, block), out);
    recorder.add_step(out, static_cast<double>(i + 1) * info.step_seconds, 0.0);
    agent.insert(agent.end(), out.pcm.begin(), out.pcm.end());
  }
  partner->finish(out);
  agent.insert(agent.end(), out.pcm.begin(), out.pcm.end());
  agent.resize((num_steps + 1) * static_cast<std::size_t>(info.output_block_samples), 0.0F);
  answer.turns = recorder
                     .finish(measure_levels_db(user, info.input_rate_hz),
                             measure_levels_db(agent, info.output_rate_hz))
                     .agent;
  answer.samples = audio::resample(agent, info.output_rate_hz, kRateHz);
  answer.samples.resize(scaled(clip.samples.size(), clip.rate_hz, kRateHz), 0.0F);
  return answer;
}

struct Job {
  const Subset* subset;
  std::string id, input, output;  ///< Names without extension.
};

std::vector<Job> find_jobs(const std::vector<Subset>& subsets) {
  std::vector<Job> jobs;
  for (const Subset& subset : subsets) {
    for (const std::string& id : sample_ids(subset)) {
      const fs::path folder = fs::path(subset.path) / id;
      jobs.push_back({&subset, id, "input", "output"});
      if (fs::exists(folder / "clean_input.wav"))
        jobs.push_back({&subset, id, "clean_input", "clean_output"});
    }
  }
  return jobs;
}

/// False when it was told to stop.
bool run_job(const System& system, const Job& job, const SessionOptions& session, bool again,
             const SuiteHooks& hooks) {
  const fs::path folder = fs::path(job.subset->path) / job.id;
  const std::string wav = (folder / (job.output + ".wav")).string();
  if (!again && fs::exists(wav)) return true;
  const auto when = annotation(*job.subset, job.id);
  const Answer answer =
      answer_one(system, (folder / (job.input + ".wav")).string(), session, hooks);
  if (answer.is_stopped) return false;
  std::vector<Word> words = words_of(find_speech(answer.samples, kRateHz), answer.turns);
  if (job.subset->task == Task::kInterruption) words = crop(words, when->end_s);
  write_words((folder / (job.output + ".json")).string(), words);
  audio::write_wav_file(wav, answer.samples, kRateHz);
  return true;
}

}  // namespace

std::vector<std::string> answer(const System& system, const std::string& root,
                                const SessionOptions& session, bool again,
                                const SuiteHooks& hooks) {
  const auto subsets = find_subsets(root);
  const std::vector<Job> jobs = find_jobs(subsets);
  std::vector<std::string> names;
  for (const Job& job : jobs) names.push_back(job.subset->name + "/" + job.id + "/" + job.input);
  return work_off(
      names, [&](std::size_t i) { return run_job(system, jobs[i], session, again, hooks); }, hooks);
}

}  // namespace duet::runtime::bench::fdb
