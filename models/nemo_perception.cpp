#include "models/nemo_perception.h"

#include <ATen/ATen.h>

#include <cmath>
#include <limits>
#include <numeric>
#include <string>

#include "runtime/core/error.h"

namespace duet::models {
namespace {

/// "nemo.collections.asr.modules.ConformerEncoder" -> "ConformerEncoder".
std::string target_class(const core::ConfigReader& config, const char* key, const char* fallback) {
  const std::string path = config.get_string(key, fallback);
  return path.substr(path.rfind('.') == std::string::npos ? 0 : path.rfind('.') + 1);
}

double parse_guard(const core::ConfigReader& config) {
  constexpr double kDefault = 1.0 / 16777216.0;  // 2^-24
  if (config.has("log_zero_guard_value") &&
      config.kind("log_zero_guard_value") == core::ConfigReader::Kind::kString) {
    const std::string name = config.get_choice("log_zero_guard_value", {"tiny", "eps"});
    return static_cast<double>(name == "tiny" ? std::numeric_limits<float>::min()
                                              : std::numeric_limits<float>::epsilon());
  }
  return config.get_double("log_zero_guard_value", kDefault, {0.0, 1.0});
}

/// Seconds or samples; seconds are truncated to samples as the reference does.
int64_t parse_samples(const core::ConfigReader& config, const char* seconds_key,
                      const char* samples_key, double fallback, int64_t rate) {
  if (config.has(samples_key)) return config.get_int(samples_key, core::IntRange{1, 1000000});
  return static_cast<int64_t>(config.get_double(seconds_key, fallback, {0.0, 10.0}) *
                              static_cast<double>(rate));
}

nn::NemoLogMel::Config parse_preprocessor(const core::ConfigReader& config) {
  nn::NemoLogMel::Config out;
  const std::string target = target_class(config, "_target_", "AudioToMelSpectrogramPreprocessor");
  if (target != "AudioToMelSpectrogramPreprocessor")
    config.fail("_target_", "AudioToMelSpectrogramPreprocessor", target);
  out.sample_rate_hz = config.get_int("sample_rate", 16000, {1, 1000000});
  if (out.sample_rate_hz != kUserSampleRateHz)
    config.fail("sample_rate", std::to_string(kUserSampleRateHz),
                std::to_string(out.sample_rate_hz));
  out.window_samples =
      parse_samples(config, "window_size", "n_window_size", 0.02, out.sample_rate_hz);
  out.hop_samples =
      parse_samples(config, "window_stride", "n_window_stride", 0.01, out.sample_rate_hz);
  int64_t power_of_two = 1;
  while (power_of_two < out.window_samples) power_of_two *= 2;
  out.n_fft = config.get_int("n_fft", power_of_two, {1, 1 << 20});
  out.num_mels = config.get_int("features", 64, {1, 4096});
  out.window = config.get_string("window", "hann");
  out.preemphasis = config.get_double("preemph", 0.97, {0.0, 1.0});
  out.magnitude_power = config.get_double("mag_power", 2.0, {0.1, 10.0});
  out.log_guard = parse_guard(config);
  out.is_guard_clamped =
      config.get_choice("log_zero_guard_type", "add", {"add", "clamp"}) == "clamp";
  out.low_hz = config.get_double("lowfreq", 0.0, {0.0, 1e6});
  out.high_hz =
      config.get_double("highfreq", static_cast<double>(out.sample_rate_hz) / 2.0, {0.0, 1e6});
  out.has_area_norm = config.get_string("mel_norm", "slaney") == "slaney";
  const std::string normalize = config.get_string("normalize", "per_feature");
  if (normalize == "per_feature" || normalize == "all_features")
    config.fail("normalize", "'NA'", "'" + normalize + "'",
                "it needs the whole utterance and cannot be streamed");
  if (!config.get_bool("log", true)) config.fail("log", "true", "false");
  if (config.get_bool("exact_pad", false)) config.fail("exact_pad", "false", "true");
  if (config.get_int("frame_splicing", 1) != 1)
    config.fail("frame_splicing", "1", std::to_string(config.get_int("frame_splicing", 1)));
  // pad_to, pad_value: padding of a whole utterance; the rest acts in training only.
  config.ignore({"pad_to", "pad_value", "dither", "nb_augmentation_prob", "nb_max_freq", "rng",
                 "stft_conv", "stft_exact_pad", "use_torchaudio", "preemph_zero_pad"});
  out.validate();
  return out;
}

}  // namespace

void NemoPerceptionConfig::validate() const {
  const auto fail = [](const std::string& subject, int64_t expected, int64_t found) {
    throw core::ConfigError({.subject = subject,
                             .expected = std::to_string(expected),
                             .found = std::to_string(found),
                             .file = {},
                             .hint = {}});
  };
  log_mel.validate();
  encoder.validate();
  if (encoder.in_features != log_mel.num_mels)
    fail("perception.encoder.feat_in", log_mel.num_mels, encoder.in_features);
  const int64_t frame = log_mel.hop_samples * encoder.subsampling_factor;
  if (frame != kUserFrameSamples) fail("samples per encoder frame", kUserFrameSamples, frame);
  int64_t width = encoder.width();
  if (adapter) {
    adapter->validate();
    if (adapter->in_features != width)
      fail("perception.modality_adapter.feat_in", width, adapter->in_features);
    if (adapter->subsampling_factor != 1)
      fail("perception.modality_adapter.subsampling_factor", 1, adapter->subsampling_factor);
    width = adapter->width();
  }
  if (projection_in > 0 && projection_in != width)
    fail("perception.modality_adapter.d_model", width, projection_in);
  if (projection_in == 0 && out_width != width) fail("perception.output_dim", width, out_width);
}

NemoPerceptionConfig NemoPerceptionConfig::parse(const core::ConfigReader& config,
                                                 std::optional<nn::ChunkContext> context) {
  NemoPerceptionConfig out;
  config.ignore({"_target_", "target", "spec_augment", "spec_augmentation"});
  out.log_mel = parse_preprocessor(config.sub("preprocessor"));
  const core::ConfigReader encoder = config.sub("encoder");
  const std::string encoder_class = target_class(encoder, "_target_", "ConformerEncoder");
  if (encoder_class != "ConformerEncoder")
    encoder.fail("_target_", "ConformerEncoder", encoder_class);
  out.encoder = NemoEncoderConfig::parse(encoder, context);
  const core::ConfigReader adapter = config.sub("modality_adapter");
  const std::string adapter_class = target_class(adapter, "_target_", "ConformerEncoder");
  if (adapter_class == "ConformerEncoder")
    out.adapter = NemoEncoderConfig::parse(adapter);
  else if (adapter_class != "IdentityConnector")
    adapter.fail("_target_", "ConformerEncoder or IdentityConnector", adapter_class);
  // The reference's rule: project when the block has a d_model and no output_dim.
  const bool has_projection = adapter.has("d_model") && !adapter.has("output_dim");
  out.projection_in = has_projection ? adapter.get_int("d_model") : 0;
  const int64_t width = out.adapter ? out.adapter->width() : out.encoder.width();
  out.out_width = has_projection ? config.get_int("output_dim", core::IntRange{1, 1 << 20})
                                 : config.get_int("output_dim", width, {1, 1 << 20});
  if (adapter_class == "IdentityConnector") adapter.ignore_rest();
  if (adapter.has("output_dim")) adapter.ignore({"output_dim"});
  out.validate();
  return out;
}

std::unique_ptr<SpeechEncoder::State> NemoPerception::StreamState::clone() const {
  auto copy = std::make_unique<StreamState>();
  copy->log_mel = log_mel.clone();
  copy->encoder = encoder.clone();
  if (adapter) copy->adapter = adapter->clone();
  return copy;
}

int64_t NemoPerception::StreamState::num_bytes() const {
  return log_mel.num_bytes() + encoder.num_bytes() + (adapter ? adapter->num_bytes() : 0);
}

NemoPerception::NemoPerception(const NemoPerceptionConfig& config, const WeightScope& weights)
    : config_((config.validate(), config)),
      log_mel_(config.log_mel, weights.sub("preprocessor")),
      encoder_(config.encoder, weights.sub("encoder")) {
  if (config_.adapter) adapter_.emplace(*config_.adapter, weights.sub("modality_adapter"));
  if (config_.projection_in > 0)
    projection_.emplace(config_.projection_in, config_.out_width, weights.sub("proj"));
}

std::unique_ptr<SpeechEncoder::State> NemoPerception::initial_state(int64_t batch) const {
  auto state = std::make_unique<StreamState>();
  state->log_mel = log_mel_.initial_state(batch);
  state->encoder = encoder_.initial_state(batch);
  if (adapter_) state->adapter = adapter_->initial_state(batch);
  return state;
}

void NemoPerception::reset(State& state) const {
  auto& stream = static_cast<StreamState&>(state);
  log_mel_.reset(stream.log_mel);
  encoder_.reset(stream.encoder);
  if (adapter_) adapter_->reset(*stream.adapter);
}

at::Tensor NemoPerception::project(const at::Tensor& x) const {
  return projection_ ? projection_->forward(x) : x;
}

NemoPerception::Stages NemoPerception::forward_stages(const at::Tensor& pcm) const {
  Stages stages;
  stages.mel = log_mel_.forward(pcm);
  stages.pre_encode = encoder_.pre_encode(stages.mel);
  stages.encoder = encoder_.forward(stages.mel);
  stages.adapter = adapter_ ? adapter_->forward(stages.encoder) : stages.encoder;
  stages.user = project(stages.adapter);
  return stages;
}

at::Tensor NemoPerception::forward(const at::Tensor& pcm) const {
  const at::Tensor encoded = encoder_.forward(log_mel_.forward(pcm));
  return project(adapter_ ? adapter_->forward(encoded) : encoded);
}

at::Tensor NemoPerception::step(const at::Tensor& pcm, State& state) const {
  auto& stream = static_cast<StreamState&>(state);
  const at::Tensor mel = log_mel_.step(pcm, stream.log_mel);
  const at::Tensor encoded = encoder_.step(mel, stream.encoder);
  return project(adapter_ ? adapter_->step(encoded, *stream.adapter) : encoded);
}

at::Tensor NemoPerception::flush(State& state) const {
  auto& stream = static_cast<StreamState&>(state);
  const at::Tensor mel = log_mel_.flush(stream.log_mel);
  const at::Tensor encoded =
      at::cat({encoder_.step(mel, stream.encoder), encoder_.flush(stream.encoder)}, 1);
  if (!adapter_) return project(encoded);
  return project(
      at::cat({adapter_->step(encoded, *stream.adapter), adapter_->flush(*stream.adapter)}, 1));
}

int64_t NemoPerception::lookahead_samples() const {
  const int64_t first = config_.encoder.conformer.context.chunk;
  const int64_t second = config_.adapter ? config_.adapter->conformer.context.chunk : 1;
  int64_t worst = 0;
  for (int64_t t = 0; t < std::lcm(first, second); ++t) {
    const int64_t adapter_last = t / second * second + second - 1;
    const int64_t encoder_last = adapter_last / first * first + first - 1;
    worst = std::max(worst, encoder_last - t);
  }
  return worst * kUserFrameSamples + config_.log_mel.window_samples / 2;
}

int64_t NemoPerception::macs_per_step() const {
  const auto& mel = config_.log_mel;
  const int64_t hops = kUserFrameSamples / mel.hop_samples;
  return hops * mel.num_mels * (mel.n_fft / 2 + 1) + encoder_.macs_per_frame() +
         (adapter_ ? adapter_->macs_per_frame() : 0) + config_.projection_in * config_.out_width;
}

int64_t NemoPerception::num_frames(int64_t num_samples) const {
  return encoder_.num_frames(num_samples / config_.log_mel.hop_samples);
}

}  // namespace duet::models
