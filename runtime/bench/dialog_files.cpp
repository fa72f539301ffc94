#include "runtime/bench/dialog_files.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "audio/audio_file.h"
#include "audio/resampler.h"
#include "runtime/core/atomic_file.h"
#include "runtime/core/error.h"

namespace duet::runtime::bench {

namespace fs = std::filesystem;

std::optional<DialogResult> read_dialog_file(const std::string& folder, const std::string& id,
                                             const std::optional<std::string>& fingerprint) {
  std::ifstream stream(fs::path(folder) / (id + ".json"), std::ios::binary);
  if (!stream) return std::nullopt;
  const std::string text{std::istreambuf_iterator<char>(stream), {}};
  return dialog_from_json(text, fingerprint);
}

DialogResult keep_dialog(const std::string& folder, const DialogResult& result,
                         const std::string& fingerprint) {
  const std::string text = to_json(result, fingerprint);
  if (!folder.empty())
    core::write_file_atomically((fs::path(folder) / (result.id + ".json")).string(), text);
  auto read = dialog_from_json(text, fingerprint);
  DUET_CHECK(read.has_value());
  return std::move(*read);
}

void write_dialog_audio(const std::string& folder, const std::string& id,
                        const Recording& recording) {
  const auto user =
      audio::resample(recording.user, recording.user_rate_hz, recording.agent_rate_hz);
  std::vector<float> stereo(2 * std::max(user.size(), recording.agent.size()), 0.0F);
  for (std::size_t i = 0; i < user.size(); ++i) stereo[2 * i] = user[i];
  for (std::size_t i = 0; i < recording.agent.size(); ++i) stereo[2 * i + 1] = recording.agent[i];
  audio::write_wav_file((fs::path(folder) / (id + ".wav")).string(), stereo,
                        recording.agent_rate_hz, 2);
}

}  // namespace duet::runtime::bench
