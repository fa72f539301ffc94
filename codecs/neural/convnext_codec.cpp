#include "codecs/neural/convnext_codec.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "codecs/neural/spectrum.h"
#include "models/nn/mel_filters.h"
#include "runtime/core/error.h"

namespace duet::codecs {
namespace {

using models::Init;
using models::WeightScope;

struct ConvNextState : CodecDecoder::State {
  std::vector<at::Tensor> tails;  // one per block, frame blocks first: [B, kernel - 1, D]
  at::Tensor overlap;  // [B, window - hop]: sums of synthesis frames that reach into the next step

  std::unique_ptr<State> clone() const override {
    auto copy = std::make_unique<ConvNextState>();
    for (const at::Tensor& tail : tails) copy->tails.push_back(tail.clone());
    copy->overlap = overlap.clone();
    return copy;
  }
  int64_t num_bytes() const override {
    int64_t bytes = static_cast<int64_t>(overlap.nbytes());
    for (const at::Tensor& tail : tails) bytes += static_cast<int64_t>(tail.nbytes());
    return bytes;
  }
};

std::vector<ConvNextBlock> make_blocks(int64_t count, int64_t width, int64_t kernel, bool is_causal,
                                       const WeightScope& weights, std::string_view name) {
  std::vector<ConvNextBlock> blocks;
  for (int64_t i = 0; i < count; ++i)
    blocks.emplace_back(width, kernel, is_causal, weights.sub(name, i));
  return blocks;
}

void require(bool ok, const char* subject, const char* expected, int64_t found) {
  if (!ok) throw core::ConfigError({subject, expected, std::to_string(found), {}, {}});
}

int64_t num_halvings(int64_t hops_per_frame) {
  int64_t n = 0;
  while ((int64_t{1} << n) < hops_per_frame) ++n;
  return n;
}

}  // namespace

void ConvNextCodecConfig::validate() const {
  require(sample_rate_hz >= 8000 && sample_rate_hz <= 48000, "codec.sample_rate_hz",
          "8000 to 48000", sample_rate_hz);
  require(hop_samples >= 1, "codec.hop_samples", "at least 1", hop_samples);
  require(window_samples == 4 * hop_samples, "codec.window_samples", "4 * hop_samples",
          window_samples);
  require(hops_per_frame >= 1 && (hops_per_frame & (hops_per_frame - 1)) == 0,
          "codec.hops_per_frame", "a power of two", hops_per_frame);
  require(kernel >= 3 && kernel % 2 == 1, "codec.kernel", "an odd number, at least 3", kernel);
  require(num_mels >= 1, "codec.num_mels", "at least 1", num_mels);
  require(encoder_width >= 1, "codec.encoder_width", "at least 1", encoder_width);
  require(decoder_width >= 1, "codec.decoder_width", "at least 1", decoder_width);
  require(encoder_blocks >= 0, "codec.encoder_blocks", "0 or more", encoder_blocks);
  require(decoder_frame_blocks >= 0, "codec.decoder_frame_blocks", "0 or more",
          decoder_frame_blocks);
  require(decoder_hop_blocks >= 0, "codec.decoder_hop_blocks", "0 or more", decoder_hop_blocks);
  (void)Fsq(num_groups, levels);
}

ConvNextCodecConfig ConvNextCodecConfig::parse(const core::ConfigReader& config) {
  ConvNextCodecConfig out;
  const core::IntRange size{1, int64_t{1} << 24}, blocks{0, 1000};
  const auto read = [&](const char* key, int64_t& value, core::IntRange range) {
    value = config.get_int(key, value, range);
  };
  read("sample_rate_hz", out.sample_rate_hz, {8000, 48000});
  read("hop_samples", out.hop_samples, size);
  read("window_samples", out.window_samples, size);
  read("hops_per_frame", out.hops_per_frame, size);
  read("num_groups", out.num_groups, {1, 64});
  out.levels = config.get_int_list("levels", out.levels, core::IntRange{2, 4096});
  read("kernel", out.kernel, size);
  read("num_mels", out.num_mels, size);
  read("encoder_width", out.encoder_width, size);
  read("encoder_blocks", out.encoder_blocks, blocks);
  read("decoder_width", out.decoder_width, size);
  read("decoder_frame_blocks", out.decoder_frame_blocks, blocks);
  read("decoder_hop_blocks", out.decoder_hop_blocks, blocks);
  out.validate();
  return out;
}

ConvNextBlock::ConvNextBlock(int64_t width, int64_t kernel, bool is_causal,
                             const WeightScope& weights)
    : kernel_(kernel),
      is_causal_(is_causal),
      depthwise_(weights.parameter("depthwise.weight", {width, 1, kernel})),
      depthwise_bias_(weights.parameter("depthwise.bias", {width}, Init::zeros())),
      gamma_(weights.parameter("gamma", {width}, Init::constant(0.2))),
      norm_(width, weights.sub("norm")),
      expand_(width, 3 * width, weights.sub("expand")),
      project_(3 * width, width, weights.sub("project")) {}

at::Tensor ConvNextBlock::after_padding(const at::Tensor& x, const at::Tensor& padded) const {
  const at::Tensor mixed =
      at::conv1d(padded.transpose(1, 2), depthwise_, depthwise_bias_, at::IntArrayRef{1},
                 at::IntArrayRef{0}, at::IntArrayRef{1}, depthwise_.size(0))
          .transpose(1, 2);
  return x + gamma_ * project_.forward(at::gelu(expand_.forward(norm_.forward(mixed))));
}

at::Tensor ConvNextBlock::forward(const at::Tensor& x) const {
  const int64_t left = is_causal_ ? kernel_ - 1 : kernel_ / 2;
  return after_padding(x, at::constant_pad_nd(x, {0, 0, left, kernel_ - 1 - left}));
}

at::Tensor ConvNextBlock::step(const at::Tensor& x, std::span<at::Tensor* const> tails) const {
  DUET_CHECK(is_causal_);
  const int64_t batch = x.size(0) / static_cast<int64_t>(tails.size());
  std::vector<at::Tensor> parts;
  for (const at::Tensor* tail : tails) parts.push_back(*tail);
  const at::Tensor before = parts.size() == 1 ? parts.front() : at::cat(parts, 0);
  const at::Tensor padded = at::cat({before, x}, 1);
  const int64_t kept = before.size(1);
  for (size_t s = 0; s < tails.size(); ++s)
    tails[s]->copy_(padded.narrow(0, static_cast<int64_t>(s) * batch, batch)
                        .narrow(1, padded.size(1) - kept, kept));
  return after_padding(x, padded);
}

ConvNextDecoder::ConvNextDecoder(const ConvNextCodecConfig& config, const WeightScope& weights)
    : config_((config.validate(), config)),
      fsq_(config.num_groups, config.levels),
      input_(fsq_.latent_width(), config.decoder_width, weights.sub("input")),
      frame_blocks_(make_blocks(config.decoder_frame_blocks, config.decoder_width, config.kernel,
                                true, weights, "frame_blocks")),
      upsample_(config.decoder_width, config.decoder_width * config.hops_per_frame,
                weights.sub("upsample")),
      hop_blocks_(make_blocks(config.decoder_hop_blocks, config.decoder_width, config.kernel, true,
                              weights, "hop_blocks")),
      norm_(config.decoder_width, weights.sub("norm")),
      head_(config.decoder_width, config.window_samples + 2, weights.sub("head"), true,
            Init::fan_in(0.3)),
      // Hann at synthesis alone, scaled so that four overlapping windows sum to one (Hann at
      // quarter hops sums to 2).
      window_(hann_window(config.window_samples) * 0.5) {}

at::Tensor ConvNextDecoder::synthesis_frames(const at::Tensor& hidden) const {
  const int64_t bins = config_.window_samples / 2 + 1;
  const at::Tensor raw = head_.forward(norm_.forward(hidden)).to(at::kFloat);
  // The clamp keeps an untrained or broken model from overflowing: e^6 is 400 times full scale in
  // one bin.
  const at::Tensor magnitude = at::exp(raw.narrow(2, 0, bins).clamp(-15.0, 6.0)),
                   phase = raw.narrow(2, bins, bins);
  const at::Tensor bins_complex =
      at::complex(magnitude * at::cos(phase), magnitude * at::sin(phase));
  return at::fft_irfft(bins_complex, config_.window_samples) * window_;
}

at::Tensor ConvNextDecoder::forward_latents(const at::Tensor& latents) const {
  at::Tensor x = input_.forward(latents.transpose(1, 2));
  for (const ConvNextBlock& block : frame_blocks_) x = block.forward(x);
  x = upsample_.forward(x).reshape(
      {x.size(0), x.size(1) * config_.hops_per_frame, config_.decoder_width});
  for (const ConvNextBlock& block : hop_blocks_) x = block.forward(x);
  const at::Tensor pcm = overlap_add(synthesis_frames(x), config_.hop_samples);
  return pcm.narrow(1, 0, latents.size(2) * samples_per_frame());
}

at::Tensor ConvNextDecoder::forward(const at::Tensor& codes) const {
  return forward_latents(fsq_.decode(codes));
}

std::unique_ptr<CodecDecoder::State> ConvNextDecoder::initial_state(int64_t batch) const {
  auto state = std::make_unique<ConvNextState>();
  for (size_t i = 0; i < frame_blocks_.size() + hop_blocks_.size(); ++i)
    state->tails.push_back(at::zeros({batch, config_.kernel - 1, config_.decoder_width}));
  state->overlap = at::zeros({batch, overlap_samples()});
  return state;
}

void ConvNextDecoder::reset(State& state) const {
  auto& own = dynamic_cast<ConvNextState&>(state);
  for (at::Tensor& tail : own.tails) tail.zero_();
  own.overlap.zero_();
}

at::Tensor ConvNextDecoder::step(const at::Tensor& codes, State& state) const {
  State* const one = &state;
  return step_together(codes, {&one, 1});
}

at::Tensor ConvNextDecoder::step_together(const at::Tensor& codes,
                                          std::span<State* const> states) const {
  std::vector<ConvNextState*> own;
  for (State* state : states) own.push_back(&dynamic_cast<ConvNextState&>(*state));
  const int64_t batch = codes.size(0) / static_cast<int64_t>(states.size());
  size_t next = 0;
  const auto tails = [&] {
    std::vector<at::Tensor*> out;
    for (ConvNextState* state : own) out.push_back(&state->tails[next]);
    ++next;
    return out;
  };
  at::Tensor x = input_.forward(fsq_.decode(codes).transpose(1, 2));
  for (const ConvNextBlock& block : frame_blocks_) x = block.step(x, tails());
  x = upsample_.forward(x).reshape(
      {x.size(0), x.size(1) * config_.hops_per_frame, config_.decoder_width});
  for (const ConvNextBlock& block : hop_blocks_) x = block.step(x, tails());
  at::Tensor pcm = overlap_add(synthesis_frames(x), config_.hop_samples);
  const int64_t ready = codes.size(2) * samples_per_frame();
  for (size_t s = 0; s < own.size(); ++s) {
    const at::Tensor mine = pcm.narrow(0, static_cast<int64_t>(s) * batch, batch);
    mine.narrow(1, 0, overlap_samples()).add_(own[s]->overlap);
    own[s]->overlap.copy_(mine.narrow(1, ready, overlap_samples()));
  }
  return pcm.narrow(1, 0, ready);
}

ConvNextEncoder::ConvNextEncoder(const ConvNextCodecConfig& config, const WeightScope& weights)
    : config_((config.validate(), config)),
      fsq_(config.num_groups, config.levels),
      input_weight_(weights.parameter("input.weight", {config.encoder_width, config.num_mels, 5})),
      input_bias_(weights.parameter("input.bias", {config.encoder_width}, Init::zeros())),
      blocks_(make_blocks(config.encoder_blocks * (num_halvings(config.hops_per_frame) + 1),
                          config.encoder_width, config.kernel, false, weights, "blocks")),
      norm_(config.encoder_width, weights.sub("norm")),
      output_(config.encoder_width, fsq_.latent_width(), weights.sub("output")),
      window_(hann_window(config.window_samples)),
      filters_(models::nn::slaney_mel_filters(config.sample_rate_hz, config.window_samples,
                                              config.num_mels)) {
  for (int64_t i = 0; i < num_halvings(config.hops_per_frame); ++i) {
    const WeightScope down = weights.sub("down", i);
    down_weights_.push_back(
        down.parameter("weight", {config.encoder_width, config.encoder_width, 4}));
    down_biases_.push_back(down.parameter("bias", {config.encoder_width}, Init::zeros()));
  }
}

at::Tensor ConvNextEncoder::log_mel(const at::Tensor& pcm) const {
  const int64_t frame = config_.samples_per_frame(), excess = pcm.size(1) % frame;
  const int64_t fill = excess == 0 ? 0 : frame - excess;
  const int64_t margin = config_.window_samples - config_.hop_samples;  // window centred on its hop
  const at::Tensor padded =
      at::constant_pad_nd(pcm.to(at::kFloat), {margin / 2, fill + margin - margin / 2});
  const at::Tensor magnitude =
      (spectrum(padded, window_, config_.hop_samples).pow(2).sum(-1) + 1e-9).sqrt();
  // 20: brings speech at usual levels to about 0 in the log; 1e-3 is some 60 dB below that.
  return at::log(at::matmul(magnitude * 20.0, filters_.t()).clamp_min(1e-3)).transpose(1, 2);
}

at::Tensor ConvNextEncoder::latents(const at::Tensor& pcm) const {
  at::Tensor x =
      at::conv1d(log_mel(pcm), input_weight_, input_bias_, at::IntArrayRef{1}, at::IntArrayRef{2})
          .transpose(1, 2);
  const auto per_stage = static_cast<size_t>(config_.encoder_blocks);
  for (size_t stage = 0; stage <= down_weights_.size(); ++stage) {
    for (size_t i = 0; i < per_stage; ++i) x = blocks_[stage * per_stage + i].forward(x);
    if (stage < down_weights_.size())
      x = at::conv1d(x.transpose(1, 2), down_weights_[stage], down_biases_[stage],
                     at::IntArrayRef{2}, at::IntArrayRef{1})
              .transpose(1, 2);
  }
  return output_.forward(norm_.forward(x)).to(at::kFloat).transpose(1, 2);
}

at::Tensor ConvNextEncoder::forward(const at::Tensor& pcm) const {
  return fsq_.encode(latents(pcm));
}

}  // namespace duet::codecs
