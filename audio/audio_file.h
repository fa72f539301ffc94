#pragma once
// Audio files: WAV, FLAC, Ogg-Opus and whatever else libsndfile reads; PCM16 WAV out. Reading is
// strict: a file whose header lies about its length is an error here, while libsndfile would
// quietly play what is left.

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "audio/sample_source.h"

namespace duet::audio {

/// One channel of an audio file, read piece by piece.
class AudioFileReader : public SampleSource {
 public:
  /// `channel` counts from 1; of a file with several, the first is read unless told otherwise.
  /// Throws core::LoadError: missing file, not audio, truncated, without samples, a rate outside
  /// 4-384 kHz; core::ConfigError: a channel the file does not have.
  explicit AudioFileReader(const std::string& path, int channel = 1);
  ~AudioFileReader() override;
  AudioFileReader(const AudioFileReader&) = delete;
  AudioFileReader& operator=(const AudioFileReader&) = delete;

  int rate_hz() const noexcept override;
  int num_channels() const noexcept;
  /// Throws core::LoadError on damaged data, a non-finite sample, or an end before the declared
  /// one.
  std::size_t read(std::span<float> out) override;
  std::optional<std::int64_t> num_samples() const noexcept override;
  const std::string& name() const noexcept override;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

struct AudioClip {
  std::vector<float> samples;
  int rate_hz = 0;
};

/// The whole of one channel. Errors as AudioFileReader.
AudioClip load_audio_file(const std::string& path, int channel = 1);

/// Writes a PCM16 WAV next to its final place and renames it there on commit, so that a reader
/// never sees a part. Destroyed without commit, it leaves nothing behind and an older file
/// untouched.
class WavWriter {
 public:
  /// Throws core::LoadError when the file cannot be created there or its name is taken by something
  /// other than a file.
  WavWriter(const std::string& path, int rate_hz, int num_channels);
  ~WavWriter();
  WavWriter(const WavWriter&) = delete;
  WavWriter& operator=(const WavWriter&) = delete;

  /// Interleaved samples, whole frames; 1.0 is 32768, values outside are clipped.
  void write(std::span<const float> interleaved);
  /// Completes the file and moves it to its place. Nothing may be written afterwards.
  void commit();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// The whole file at once. Errors as WavWriter.
void write_wav_file(const std::string& path, std::span<const float> interleaved, int rate_hz,
                    int num_channels = 1);

}  // namespace duet::audio
