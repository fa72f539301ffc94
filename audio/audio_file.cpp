#include "audio/audio_file.h"

#include <sndfile.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <utility>

#include "runtime/core/atomic_file.h"
#include "runtime/core/error.h"

namespace duet::audio {

namespace {

constexpr int kMinRateHz = 4000;
constexpr int kMaxRateHz = 384000;
/// Programs that write WAV into a pipe cannot know the size: espeak-ng puts 0x7ffff000, sox and
/// ffmpeg more.
constexpr std::uint32_t kUnknownSize = 0x7ffff000U;
constexpr const char* kFormats = "a WAV, FLAC or Ogg file";

struct CloseSndfile {
  void operator()(SNDFILE* file) const { sf_close(file); }
};
using SndfilePtr = std::unique_ptr<SNDFILE, CloseSndfile>;

[[noreturn]] void fail(const std::string& path, std::string subject, std::string expected,
                       std::string found, std::string hint = "") {
  throw core::LoadError({.subject = std::move(subject),
                         .expected = std::move(expected),
                         .found = std::move(found),
                         .file = path,
                         .hint = std::move(hint)});
}

std::uint32_t little_endian32(const char* bytes) {
  std::uint32_t value = 0;
  for (int i = 3; i >= 0; --i) value = (value << 8) | static_cast<unsigned char>(bytes[i]);
  return value;
}

/// Walks the chunks of a RIFF file; throws when the data chunk promises more than the file has.
void check_riff(const std::string& path, std::ifstream& file, std::uint64_t file_bytes) {
  std::uint64_t position = 12;  // "RIFF", size, "WAVE".
  std::array<char, 8> head{};
  while (position + head.size() <= file_bytes) {
    file.seekg(static_cast<std::streamoff>(position));
    if (!file.read(head.data(), head.size())) break;
    const std::uint32_t size = little_endian32(head.data() + 4);
    position += head.size();
    if (std::memcmp(head.data(), "data", 4) == 0) {
      if (size < kUnknownSize && size > file_bytes - position) {
        fail(path, "data chunk", std::to_string(size) + " bytes (its header)",
             std::to_string(file_bytes - position), "the file is truncated");
      }
      return;
    }
    position += size + (size & 1U);  // Chunks are padded to even lengths.
  }
  fail(path, "data chunk", "one", "the end of the file", "the file is truncated or has no audio");
}

bool looks_like_text(std::span<const char> bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](char c) {
    const auto u = static_cast<unsigned char>(c);
    return u >= 0x80 || std::isprint(u) != 0 || std::isspace(u) != 0;
  });
}

/// First line of a text for a message, at most 24 characters, printable ones only.
std::string excerpt(std::span<const char> bytes) {
  std::string text;
  for (const char c : bytes) {
    if (c == '\n' || c == '\r' || text.size() == 24) break;
    text += std::isprint(static_cast<unsigned char>(c)) != 0 ? c : '?';
  }
  return "text (\"" + text + "\")";
}

/// What libsndfile does not tell, or not clearly: missing files, folders, text, lying RIFF headers.
void check_file(const std::string& path) {
  namespace fs = std::filesystem;
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (!fs::exists(status)) fail(path, "audio file", kFormats, "no such file");
  if (!fs::is_regular_file(status)) {
    fail(path, "audio file", kFormats, fs::is_directory(status) ? "a folder" : "a device or pipe",
         fs::is_directory(status) ? "" : "pipe raw samples into `-` instead");
  }
  std::ifstream file(path, std::ios::binary);
  if (!file) fail(path, "audio file", "a readable file", std::strerror(errno));
  const std::uint64_t file_bytes = fs::file_size(path);
  if (file_bytes == 0) fail(path, "audio file", kFormats, "an empty file");
  std::array<char, 512> start{};
  file.read(start.data(), start.size());
  const auto count = static_cast<std::size_t>(file.gcount());
  file.clear();
  if (looks_like_text({start.data(), count}))
    fail(path, "audio file", kFormats, excerpt({start.data(), count}));
  if (count >= 12 && std::memcmp(start.data(), "RIFF", 4) == 0 &&
      std::memcmp(start.data() + 8, "WAVE", 4) == 0) {
    check_riff(path, file, file_bytes);
  }
}

std::string trimmed(const char* text) {
  std::string result = text;
  while (!result.empty() && (result.back() == '\n' || result.back() == '.')) result.pop_back();
  return result;
}

}  // namespace

struct AudioFileReader::Impl {
  std::string path;
  SndfilePtr file;
  SF_INFO info{};
  int channel = 1;
  std::int64_t position = 0;
  std::vector<float> interleaved;
};

AudioFileReader::AudioFileReader(const std::string& path, int channel)
    : impl_(std::make_unique<Impl>()) {
  check_file(path);
  Impl& impl = *impl_;
  impl.path = path;
  impl.channel = channel;
  impl.file.reset(sf_open(path.c_str(), SFM_READ, &impl.info));
  if (!impl.file) fail(path, "audio file", kFormats, trimmed(sf_strerror(nullptr)));
  if (impl.info.frames <= 0) fail(path, "samples", "at least 1", "0");
  if (impl.info.samplerate < kMinRateHz || impl.info.samplerate > kMaxRateHz) {
    fail(path, "sample rate",
         std::to_string(kMinRateHz) + " to " + std::to_string(kMaxRateHz) + " Hz",
         std::to_string(impl.info.samplerate));
  }
  if (channel < 1 || channel > impl.info.channels) {
    throw core::ConfigError({.subject = "channel",
                             .expected = "1 to " + std::to_string(impl.info.channels),
                             .found = std::to_string(channel),
                             .file = path,
                             .hint = ""});
  }
}

AudioFileReader::~AudioFileReader() = default;

int AudioFileReader::rate_hz() const noexcept { return impl_->info.samplerate; }
int AudioFileReader::num_channels() const noexcept { return impl_->info.channels; }
std::optional<std::int64_t> AudioFileReader::num_samples() const noexcept {
  return impl_->info.frames;
}
const std::string& AudioFileReader::name() const noexcept { return impl_->path; }

std::size_t AudioFileReader::read(std::span<float> out) {
  Impl& impl = *impl_;
  if (out.empty()) return 0;
  const auto channels = static_cast<std::size_t>(impl.info.channels);
  impl.interleaved.resize(out.size() * channels);
  const sf_count_t count =
      sf_readf_float(impl.file.get(), impl.interleaved.data(), static_cast<sf_count_t>(out.size()));
  if (sf_error(impl.file.get()) != SF_ERR_NO_ERROR) {
    fail(impl.path, "sample " + std::to_string(impl.position), "decodable audio",
         trimmed(sf_strerror(impl.file.get())), "the file is damaged");
  }
  for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i) {
    const float value = impl.interleaved[i * channels + static_cast<std::size_t>(impl.channel - 1)];
    if (!std::isfinite(value)) {
      fail(impl.path, "sample " + std::to_string(impl.position + static_cast<std::int64_t>(i)),
           "a finite number", std::isnan(value) ? "nan" : "infinity");
    }
    out[i] = value;
  }
  impl.position += count;
  if (count == 0 && impl.position < impl.info.frames) {
    fail(impl.path, "samples", std::to_string(impl.info.frames) + " (its header)",
         std::to_string(impl.position), "the file is truncated");
  }
  return static_cast<std::size_t>(count);
}

AudioClip load_audio_file(const std::string& path, int channel) {
  AudioFileReader reader(path, channel);
  AudioClip clip{.samples = {}, .rate_hz = reader.rate_hz()};
  std::vector<float> chunk(65536);  // Grown by what is really there, never by what a header claims.
  while (const std::size_t count = reader.read(chunk)) {
    clip.samples.insert(clip.samples.end(), chunk.begin(),
                        chunk.begin() + static_cast<std::ptrdiff_t>(count));
  }
  return clip;
}

struct WavWriter::Impl {
  Impl(const std::string& path, int channels) : target(path), num_channels(channels) {}

  core::AtomicFile target;  // Outlives `file`: closed before it is renamed or removed.
  SndfilePtr file;
  int num_channels;
  std::vector<short> pcm;
};

WavWriter::WavWriter(const std::string& path, int rate_hz, int num_channels)
    : impl_(std::make_unique<Impl>(path, num_channels)) {
  SF_INFO info{};
  info.samplerate = rate_hz;
  info.channels = num_channels;
  info.format = SF_FORMAT_WAV | SF_FORMAT_PCM_16;
  impl_->file.reset(sf_open(impl_->target.temporary_path().c_str(), SFM_WRITE, &info));
  if (!impl_->file) fail(path, "output file", "a WAV file to write", trimmed(sf_strerror(nullptr)));
}

WavWriter::~WavWriter() = default;

void WavWriter::write(std::span<const float> interleaved) {
  Impl& impl = *impl_;
  DUET_CHECK(impl.file != nullptr &&
             interleaved.size() % static_cast<std::size_t>(impl.num_channels) == 0);
  impl.pcm.resize(interleaved.size());
  std::transform(interleaved.begin(), interleaved.end(), impl.pcm.begin(), [](float x) {
    return static_cast<short>(std::lrint(std::clamp(x * 32768.0F, -32768.0F, 32767.0F)));
  });
  const auto frames =
      static_cast<sf_count_t>(interleaved.size() / static_cast<std::size_t>(impl.num_channels));
  if (sf_writef_short(impl.file.get(), impl.pcm.data(), frames) != frames) {
    fail(impl.target.path(), "output file", std::to_string(frames) + " frames written",
         trimmed(sf_strerror(impl.file.get())));
  }
}

void WavWriter::commit() {
  Impl& impl = *impl_;
  DUET_CHECK(impl.file != nullptr);
  if (sf_close(impl.file.release()) != 0)
    fail(impl.target.path(), "output file", "a complete WAV", "a failed close");
  impl.target.commit();
}

void write_wav_file(const std::string& path, std::span<const float> interleaved, int rate_hz,
                    int num_channels) {
  WavWriter writer(path, rate_hz, num_channels);
  writer.write(interleaved);
  writer.commit();
}

}  // namespace duet::audio
