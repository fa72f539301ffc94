#include "audio/audio_file.h"

#include <sndfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include <random>

#include "runtime/core/error.h"
#include "tests/support/temp_dir.h"

using namespace duet;
using Catch::Contains;
using support::TempDir;

namespace {

std::vector<float> sine(std::size_t size, int rate_hz, double hz = 440.0, double amplitude = 0.5) {
  std::vector<float> samples(size);
  for (std::size_t i = 0; i < size; ++i) {
    samples[i] = static_cast<float>(amplitude *
                                    std::sin(2.0 * M_PI * hz * static_cast<double>(i) / rate_hz));
  }
  return samples;
}

std::string write_as(const TempDir& dir, const std::string& name, int format,
                     const std::vector<float>& samples, int rate_hz, int channels = 1) {
  SF_INFO info{};
  info.samplerate = rate_hz;
  info.channels = channels;
  info.format = format;
  const std::string path = dir.file(name);
  SNDFILE* file = sf_open(path.c_str(), SFM_WRITE, &info);
  REQUIRE(file != nullptr);
  sf_write_float(file, samples.data(), static_cast<sf_count_t>(samples.size()));
  sf_close(file);
  return path;
}

double snr_db(const std::vector<float>& got, const std::vector<float>& want) {
  double signal = 0.0;
  double error = 0.0;
  for (std::size_t i = 0; i < want.size(); ++i) {
    signal += static_cast<double>(want[i]) * static_cast<double>(want[i]);
    const double difference = static_cast<double>(got.at(i)) - static_cast<double>(want[i]);
    error += difference * difference;
  }
  return 10.0 * std::log10(signal / (error + 1e-20));
}

}  // namespace

TEST_CASE("PCM16 WAV comes back to the bit", "[unit]") {
  const TempDir dir;
  std::mt19937 random(1);
  std::vector<float> samples = {-1.0F, 32767.0F / 32768.0F, 0.0F, 1.0F / 32768.0F,
                                -1.0F / 32768.0F};
  while (samples.size() < 5000) {
    samples.push_back(static_cast<float>(static_cast<int>(random() % 65536) - 32768) / 32768.0F);
  }
  audio::write_wav_file(dir.file("a.wav"), samples, 22050);
  const audio::AudioClip clip = audio::load_audio_file(dir.file("a.wav"));
  CHECK(clip.rate_hz == 22050);
  CHECK(clip.samples == samples);
  CHECK(dir.num_files() == 1);
}

TEST_CASE("values outside [-1, 1] are clipped, not wrapped", "[unit]") {
  const TempDir dir;
  const std::vector<float> samples = {1.5F, -1.5F, 1.0F};
  audio::write_wav_file(dir.file("a.wav"), samples, 16000);
  CHECK(audio::load_audio_file(dir.file("a.wav")).samples ==
        std::vector<float>{32767.0F / 32768.0F, -1.0F, 32767.0F / 32768.0F});
}

TEST_CASE("FLAC, float WAV and Ogg-Opus are read", "[unit]") {
  const TempDir dir;
  const auto samples = sine(48000, 48000);
  const auto flac = audio::load_audio_file(
      write_as(dir, "a.flac", SF_FORMAT_FLAC | SF_FORMAT_PCM_16, samples, 48000));
  CHECK(flac.samples.size() == samples.size());
  CHECK(snr_db(flac.samples, samples) > 80.0);
  const auto wav = audio::load_audio_file(
      write_as(dir, "a.wav", SF_FORMAT_WAV | SF_FORMAT_FLOAT, samples, 48000));
  CHECK(wav.samples == samples);
  const auto opus = audio::load_audio_file(
      write_as(dir, "a.ogg", SF_FORMAT_OGG | SF_FORMAT_OPUS, samples, 48000));
  CHECK(opus.rate_hz == 48000);
  CHECK(opus.samples.size() == samples.size());
  CHECK(snr_db(opus.samples, samples) > 15.0);  // Lossy: the waveform is near, and in time.
}

TEST_CASE("one channel of several is chosen, the first by default", "[unit]") {
  const TempDir dir;
  const std::vector<float> interleaved = {0.25F, -0.5F, 0.125F, -0.25F};
  audio::write_wav_file(dir.file("a.wav"), interleaved, 16000, 2);
  CHECK(audio::load_audio_file(dir.file("a.wav")).samples == std::vector<float>{0.25F, 0.125F});
  CHECK(audio::load_audio_file(dir.file("a.wav"), 2).samples == std::vector<float>{-0.5F, -0.25F});
  CHECK_THROWS_WITH(audio::load_audio_file(dir.file("a.wav"), 3),
                    "channel: expected 1 to 2, found 3 in " + dir.file("a.wav"));
  CHECK_THROWS_AS(audio::load_audio_file(dir.file("a.wav"), 0), core::ConfigError);
}

TEST_CASE("a WAV whose data chunk promises more than the file has is refused", "[unit]") {
  const TempDir dir;
  audio::write_wav_file(dir.file("a.wav"), sine(1000, 16000), 16000);
  std::string bytes = TempDir::read(dir.file("a.wav"));
  REQUIRE(bytes.size() == 2044);
  const std::string path = dir.write("cut.wav", bytes.substr(0, 1044));
  CHECK_THROWS_AS(audio::load_audio_file(path), core::LoadError);
  CHECK_THROWS_WITH(audio::load_audio_file(path),
                    "data chunk: expected 2000 bytes (its header), found 1000 in " + path +
                        " (the file is truncated)");
  // Cut inside the header: every length gives an error and never a crash.
  for (std::size_t size = 0; size < 44; ++size) {
    INFO("bytes " << size);
    const std::string stump = dir.write("stump.wav", bytes.substr(0, size));
    CHECK_THROWS_AS(audio::load_audio_file(stump), core::LoadError);
  }
}

TEST_CASE("a WAV from a pipe, with the unknown size, is read to its end", "[unit]") {
  const TempDir dir;
  const auto samples = sine(1000, 16000);
  audio::write_wav_file(dir.file("a.wav"), samples, 16000);
  std::string bytes = TempDir::read(dir.file("a.wav"));
  for (const char* size : {"\xff\xff\xff\xff", "\x00\xf0\xff\x7f"}) {
    bytes.replace(40, 4, std::string(size, 4));
    CHECK(audio::load_audio_file(dir.write("pipe.wav", bytes)).samples.size() == samples.size());
  }
}

TEST_CASE("text, empty, zero-sample, missing and odd inputs say what they are", "[unit]") {
  const TempDir dir;
  const std::string text = dir.write("text.wav", "hello, I am no audio\nsecond line\n");
  CHECK_THROWS_WITH(
      audio::load_audio_file(text),
      "audio file: expected a WAV, FLAC or Ogg file, found text (\"hello, I am no audio\") in " +
          text);
  const std::string empty = dir.write("empty.wav", "");
  CHECK_THROWS_WITH(audio::load_audio_file(empty), Contains("found an empty file in " + empty));
  audio::write_wav_file(dir.file("none.wav"), {}, 16000);
  CHECK_THROWS_WITH(audio::load_audio_file(dir.file("none.wav")),
                    "samples: expected at least 1, found 0 in " + dir.file("none.wav"));
  CHECK_THROWS_WITH(audio::load_audio_file(dir.file("missing.wav")),
                    Contains("found no such file"));
  CHECK_THROWS_WITH(audio::load_audio_file(dir.path()), Contains("found a folder"));
  CHECK_THROWS_WITH(audio::load_audio_file("/dev/null"), Contains("found a device or pipe"));
  std::string noise(4096, '\0');
  std::mt19937 random(2);
  for (char& c : noise) c = static_cast<char>(random());
  CHECK_THROWS_AS(audio::load_audio_file(dir.write("noise.wav", noise)), core::LoadError);
  CHECK_THROWS_WITH(audio::load_audio_file(
                        write_as(dir, "slow.wav", SF_FORMAT_WAV | SF_FORMAT_PCM_16, {0.1F}, 100)),
                    Contains("sample rate: expected 4000 to 384000 Hz, found 100"));
}

TEST_CASE("a non-finite sample and a truncated FLAC are found while reading", "[unit]") {
  const TempDir dir;
  auto samples = sine(1000, 16000);
  samples[123] = std::numeric_limits<float>::quiet_NaN();
  const auto path = write_as(dir, "nan.wav", SF_FORMAT_WAV | SF_FORMAT_FLOAT, samples, 16000);
  CHECK_THROWS_WITH(audio::load_audio_file(path),
                    "sample 123: expected a finite number, found nan in " + path);
  const auto flac =
      write_as(dir, "a.flac", SF_FORMAT_FLAC | SF_FORMAT_PCM_16, sine(48000, 16000), 16000);
  const std::string bytes = TempDir::read(flac);
  CHECK_THROWS_AS(audio::load_audio_file(dir.write("cut.flac", bytes.substr(0, bytes.size() / 2))),
                  core::LoadError);
}

TEST_CASE("no partial file: an abandoned writer leaves nothing, and the older file as it was",
          "[unit]") {
  const TempDir dir;
  dir.write("a.wav", "older");
  {
    audio::WavWriter writer(dir.file("a.wav"), 16000, 1);
    writer.write(sine(1000, 16000));
    CHECK(TempDir::read(dir.file("a.wav")) == "older");
  }
  CHECK(TempDir::read(dir.file("a.wav")) == "older");
  CHECK(dir.num_files() == 1);
}

TEST_CASE("places that cannot hold the output are refused at once", "[unit]") {
  const TempDir dir;
  CHECK_THROWS_AS(audio::WavWriter(dir.file("no/such/a.wav"), 16000, 1), core::LoadError);
  CHECK_THROWS_WITH(audio::WavWriter(dir.path(), 16000, 1), Contains("a folder"));
  CHECK_THROWS_WITH(audio::WavWriter("/dev/null", 16000, 1), Contains("a device or pipe"));
}

TEST_CASE("a link is followed, so that it stays one, and a new file has the usual mode", "[unit]") {
  const TempDir dir;
  dir.write("real.wav", "older");
  REQUIRE(::symlink(dir.file("real.wav").c_str(), dir.file("link.wav").c_str()) == 0);
  audio::write_wav_file(dir.file("link.wav"), sine(10, 16000), 16000);
  CHECK(std::filesystem::is_symlink(dir.file("link.wav")));
  CHECK(audio::load_audio_file(dir.file("real.wav")).samples.size() == 10);
  struct stat info {};
  REQUIRE(::stat(dir.file("real.wav").c_str(), &info) == 0);
  const mode_t mask = ::umask(0);
  ::umask(mask);
  CHECK((info.st_mode & 0777) == (0666 & ~mask));
}
