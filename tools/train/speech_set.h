#pragma once
// Recorded utterances with their texts: what the encoder, codec and duplex trainers draw from. A
// set is read from manifests (one JSON object a line, written by the data maker) and held in memory
// as 16-bit mono at one rate, with the silence around the speech trimmed away, so that mixing never
// touches a file. No tensors here.

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace duet::train {

/// One spoken utterance. Fields that a manifest line leaves out are empty.
struct Utterance {
  std::string id;      ///< Unique in its manifest.
  std::string role;    ///< "user" or "agent".
  std::string split;   ///< "train" or "heldout" (never trained on).
  std::string voice;   ///< "bm_fable*0.5+af_alloy*0.5", "flite:slt", ...
  std::string engine;  ///< What spoke it: kokoro, flite, espeak, human.
  std::string topic;   ///< "sum", "order", "backchannel", ...
  std::string text;    ///< What is said, cased and punctuated.
  std::string key;     ///< What a right answer must hold (user utterances).
  std::string reply;   ///< The agent's answer, word for word (user utterances).
  std::string path;    ///< Audio file, resolved against the manifest's folder.
  double speed = 1.0;
  int64_t turn = 0;              ///< Place in its conversation; 0 when it stands alone.
  std::vector<int16_t> samples;  ///< Mono, trimmed, at the set's rate.
};

struct SpeechSetConfig {
  std::vector<std::string> manifests;  ///< Paths of .jsonl files.
  int sample_rate_hz = 16000;          ///< Every utterance is resampled to this once.
  std::string role;                    ///< Only this role ("" = all).
  std::string split;                   ///< Only this split ("" = all).
  double edge_ms = 20.0;               ///< Kept before the first and after the last sound; 0-200.
  double trim_db = 36.0;      ///< 10 ms frames this far under the loudest are silence; 10-80.
  double max_seconds = 40.0;  ///< Longer recordings are left out.
  std::string cache_file;     ///< Decoded audio is kept here and reused ("" = decode every time).
  bool skip_unreadable = false;  ///< Leave out files that cannot be decoded instead of throwing.

  void validate() const;  ///< Throws core::ConfigError.
};

/// Parses manifest lines without touching audio. Throws core::LoadError (file, line) on malformed
/// JSON or a line without role, text or file. A missing `split` means "train". A last line cut
/// short (still being written) is skipped.
std::vector<Utterance> read_manifest(const std::string& path);

/// Mono samples of any file libsndfile reads, at `sample_rate_hz`, in [-1, 1). Channels are
/// averaged. Throws core::LoadError.
std::vector<float> read_audio_mono(const std::string& path, int sample_rate_hz);

/// First and one-past-last sample of the sound in `samples`, widened by `edge_ms`; {0, 0} when
/// there is none.
std::pair<int64_t, int64_t> find_sound(const std::vector<float>& samples, int sample_rate_hz,
                                       double edge_ms, double trim_db);

/// Reads the manifests, filters, decodes, trims. Order: as in the manifests. Throws
/// core::LoadError; `progress` (done, total) is called now and then.
std::vector<Utterance> load_speech_set(
    const SpeechSetConfig& config, const std::function<void(int64_t, int64_t)>& progress = nullptr);

/// 16-bit samples as floats in [-1, 1).
std::vector<float> to_float(const std::vector<int16_t>& samples);

}  // namespace duet::train
