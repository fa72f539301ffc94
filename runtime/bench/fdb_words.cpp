#include "runtime/bench/fdb_words.h"

#include <algorithm>
#include <filesystem>
#include <optional>

#include "audio/audio_file.h"
#include "audio/resampler.h"
#include "runtime/bench/fdb_layout.h"
#include "runtime/core/error.h"

namespace duet::runtime::bench::fdb {

namespace {

namespace fs = std::filesystem;
constexpr double kLatestSeconds = 0.5;   // a recogniser may still write so long behind the sound
constexpr std::int64_t kTailSteps = 12;  // of silence, for the last words

// The stretch of sound a word complete at `end_s` belongs to.
std::optional<std::size_t> stretch_of(double end_s, std::span<const Segment> speech) {
  std::optional<std::size_t> found;
  for (std::size_t i = 0; i < speech.size(); ++i)
    if (speech[i].start_s < end_s && end_s <= speech[i].end_s + kLatestSeconds) found = i;
  return found;
}

}  // namespace

std::vector<Word> align_words(std::span<const HeardPiece> pieces, double step_s,
                              std::span<const Segment> speech) {
  std::vector<Word> words;
  for (const HeardPiece& piece : pieces) {
    std::size_t at = 0;
    while (at < piece.text.size()) {
      const bool is_new = piece.text[at] == ' ';
      const std::size_t begin = at + (is_new ? 1 : 0);
      const std::size_t end = std::min(piece.text.find(' ', begin), piece.text.size());
      if (is_new || words.empty()) words.push_back({"", piece.time_s, 0.0});
      words.back().text += piece.text.substr(begin, end - begin);
      words.back().end_s = piece.time_s + step_s;
      at = end;
    }
  }
  std::erase_if(words, [](const Word& word) { return word.text.empty(); });
  std::optional<std::size_t> last;
  for (std::size_t i = 0; i < words.size(); ++i) {
    const auto stretch = stretch_of(words[i].end_s, speech);
    if (stretch) words[i].end_s = std::min(words[i].end_s, speech[*stretch].end_s);
    if (stretch && stretch != last)
      words[i].start_s = speech[*stretch].start_s;
    else if (i > 0)
      words[i].start_s = words[i - 1].end_s;
    if (last && stretch != last) words[i - 1].end_s = speech[*last].end_s;
    words[i].start_s = std::min(words[i].start_s, words[i].end_s);
    last = stretch;
  }
  if (last && !words.empty()) words.back().end_s = speech[*last].end_s;
  return words;
}

std::vector<Word> hear_words(const Engine& engine, std::span<const float> samples, int rate_hz) {
  const EngineInfo& info = engine.info();
  if (!info.has_user_text)
    throw core::ConfigError({.subject = "model",
                             .expected = "one that writes what it hears (ctc_tokenizer)",
                             .found = info.model_name});
  std::vector<float> heard =
      audio::resample({samples.begin(), samples.end()}, rate_hz, info.input_rate_hz);
  const auto block = static_cast<std::size_t>(info.block_samples);
  const std::size_t num_steps = (heard.size() + block - 1) / block + kTailSteps;
  heard.resize(num_steps * block, 0.0F);
  const auto session = engine.make_session({});
  StepOutput out;
  std::vector<HeardPiece> pieces;
  for (std::size_t i = 0; i < num_steps; ++i) {
    session->step(std::span(heard).subspan(i * block, block), out);
    if (!out.user_text.empty())
      pieces.push_back({static_cast<double>(i) * info.step_seconds, out.user_text});
  }
  return align_words(pieces, info.step_seconds, find_speech(samples, rate_hz));
}

std::vector<std::string> transcribe(const Engine& engine, const std::string& root, bool again,
                                    const SuiteHooks& hooks) {
  struct Job {
    const Subset* subset;
    std::string id;
    fs::path wav;
  };
  const auto subsets = find_subsets(root);
  std::vector<Job> jobs;
  for (const Subset& subset : subsets)
    for (const std::string& id : sample_ids(subset))
      for (const char* name : {"output.wav", "clean_output.wav"}) {
        const fs::path wav = fs::path(subset.path) / id / name;
        if (fs::exists(wav)) jobs.push_back({&subset, id, wav});
      }
  std::vector<std::string> names;
  for (const Job& job : jobs)
    names.push_back(job.subset->name + "/" + job.id + "/" + job.wav.filename().string());
  const auto work = [&](std::size_t i) {
    if (hooks.should_stop && hooks.should_stop()) return false;
    const Job& job = jobs[i];
    const fs::path json = fs::path(job.wav).replace_extension(".json");
    if (!again && fs::exists(json)) return true;
    const audio::AudioClip clip = audio::load_audio_file(job.wav.string());
    std::vector<Word> words = hear_words(engine, clip.samples, clip.rate_hz);
    if (job.subset->task == Task::kInterruption)
      words = crop(words, annotation(*job.subset, job.id)->end_s);
    write_words(json.string(), words);
    return true;
  };
  return work_off(names, work, hooks);
}

}  // namespace duet::runtime::bench::fdb
