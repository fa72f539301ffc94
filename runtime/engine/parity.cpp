#include "runtime/engine/parity.h"

#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "models/nemo_perception.h"
#include "models/sampler.h"
#include "runtime/core/error.h"

namespace duet::engine {
namespace {

std::string shape_of(const at::Tensor& x) {
  std::string text = "[";
  for (int64_t d = 0; d < x.dim(); ++d) text += (d ? "," : "") + std::to_string(x.size(d));
  return text + "]";
}

/// A tensor of the dump, checked; undefined when absent.
class Dump {
 public:
  Dump(const models::TensorMap& tensors, std::string file)
      : tensors_(tensors), file_(std::move(file)) {
    for (const auto& [name, tensor] : tensors_)
      if (std::find(std::begin(kNames), std::end(kNames), name) == std::end(kNames))
        throw core::LoadError({.subject = name,
                               .expected = "one of the names of docs/parity.md",
                               .found = "an unknown tensor",
                               .file = file_,
                               .hint = {}});
  }

  at::Tensor real(const std::string& name, int64_t dim) const {
    return get(name, dim, /*is_integer=*/false);
  }
  at::Tensor ids(const std::string& name, int64_t dim) const {
    return get(name, dim, /*is_integer=*/true);
  }
  [[noreturn]] void fail(const std::string& name, const std::string& expected,
                         const std::string& found) const {
    throw core::LoadError(
        {.subject = name, .expected = expected, .found = found, .file = file_, .hint = {}});
  }

 private:
  static constexpr const char* kNames[] = {"pcm",          "mel",   "pre_encode",    "encoder",
                                           "adapter",      "user",  "text",          "text_logits",
                                           "audio_logits", "codes", "decoded_codes", "audio"};

  at::Tensor get(const std::string& name, int64_t dim, bool is_integer) const {
    const auto found = tensors_.find(name);
    if (found == tensors_.end()) return {};
    const at::Tensor& value = found->second;
    if (value.dim() != dim) fail(name, std::to_string(dim) + " axes", shape_of(value));
    if (at::isIntegralType(value.scalar_type(), /*includeBool=*/false) != is_integer)
      fail(name, is_integer ? "integers" : "real numbers", toString(value.scalar_type()));
    return value.to(is_integer ? at::kLong : at::kFloat).contiguous();
  }

  const models::TensorMap& tensors_;
  std::string file_;
};

StageParity compare(const std::string& stage, const at::Tensor& ours, const at::Tensor& reference,
                    const ParityOptions& options) {
  StageParity out;
  out.stage = stage;
  if (ours.sizes() != reference.sizes()) {
    out.problem = "shape " + shape_of(ours) + ", reference " + shape_of(reference);
    return out;
  }
  out.num_values = reference.numel();
  if (out.num_values == 0) return out;
  const at::Tensor want = reference.to(at::kDouble),
                   difference = (ours.to(at::kDouble) - want).abs();
  if (!at::isfinite(difference).all().item<bool>()) {
    out.problem = "values that are not finite";
    return out;
  }
  const at::Tensor sorted = std::get<0>(difference.flatten().sort());
  // Nearest rank: the smallest value that at least the share q of all values does not exceed.
  const auto rank = [&](double q) {
    const auto index = static_cast<int64_t>(std::ceil(q * static_cast<double>(out.num_values))) - 1;
    return sorted[std::max<int64_t>(0, index)].item<double>();
  };
  out.mean = difference.mean().item<double>();
  out.p90 = rank(0.90);
  out.p99 = rank(0.99);
  out.max = rank(1.0);
  out.max_reference = want.abs().max().item<double>();
  const at::Tensor beyond =
      (difference > options.absolute + options.relative * want.abs()).flatten(1 % want.dim());
  const at::Tensor rows = (beyond.dim() > 1 ? beyond.any(1) : beyond).nonzero();
  if (rows.size(0) > 0) out.first_differing = rows[0][0].item<int64_t>();
  return out;
}

struct Said {
  at::Tensor text, codes;                // [T], [T, K]
  at::Tensor text_logits, audio_logits;  // [T, Vt], [T, K, V]
};

/// Runs the LM over user frames [1, T, D]. With `text` and `codes` those are fed back, else what it
/// says itself.
Said run_lm(const models::DuplexLm& lm, const at::Tensor& user, const at::Tensor& text,
            const at::Tensor& codes) {
  auto state = lm.initial_state(1);
  models::DuplexLm::Tokens heard = lm.initial_tokens(1);
  std::vector<at::Tensor> all_text, all_codes, text_logits, audio_logits;
  for (int64_t t = 0; t < user.size(1); ++t) {
    const auto logits = lm.step(user.narrow(1, t, 1), heard, state);
    const models::DuplexLm::Tokens said{logits.text.argmax(-1), logits.audio.argmax(-1)};
    all_text.push_back(said.text);
    all_codes.push_back(said.codes);
    text_logits.push_back(logits.text);
    audio_logits.push_back(logits.audio);
    heard = text.defined() ? models::DuplexLm::Tokens{text.narrow(0, t, 1), codes.narrow(0, t, 1)}
                           : said;
  }
  return {at::cat(all_text), at::cat(all_codes), at::cat(text_logits), at::cat(audio_logits)};
}

TokenParity compare_tokens(const std::string& mode, const Said& ours, const at::Tensor& text,
                           const at::Tensor& codes) {
  TokenParity out;
  out.mode = mode;
  out.num_steps = text.size(0);
  const at::Tensor same_text = ours.text.eq(text), same_codes = ours.codes.eq(codes).all(1);
  out.num_equal_text = same_text.sum().item<int64_t>();
  out.num_equal_codes = same_codes.sum().item<int64_t>();
  const at::Tensor different = at::logical_and(same_text, same_codes).logical_not().nonzero();
  if (different.size(0) > 0) out.first_differing = different[0][0].item<int64_t>();
  return out;
}

/// Codes [T, K] as the codec gets them.
at::Tensor without_control(const ParityModel& model, const at::Tensor& codes) {
  const models::ControlCodes control(model.codec->codebook_size(), model.silence_codes);
  models::ControlCodes::State state;
  at::Tensor out = codes.clone();
  const auto width = static_cast<size_t>(out.size(1));
  for (int64_t t = 0; t < out.size(0); ++t)
    control.replace({out.data_ptr<int64_t>() + t * out.size(1), width}, state);
  return out;
}

/// Samples [S] of codes [T, K], step by step as live.
at::Tensor speak(const codecs::CodecDecoder& codec, const at::Tensor& codes) {
  auto state = codec.initial_state(1);
  std::vector<at::Tensor> parts;
  for (int64_t t = 0; t < codes.size(0); ++t)
    parts.push_back(codec.step(codes.narrow(0, t, 1).t().unsqueeze(0).contiguous(), *state)[0]);
  return at::cat(parts);
}

/// User frames [1, T, D] from packets of 80 ms and the end of the stream.
at::Tensor hear_in_packets(const models::SpeechEncoder& encoder, const at::Tensor& pcm) {
  auto state = encoder.initial_state(1);
  std::vector<at::Tensor> parts;
  for (int64_t start = 0; start < pcm.size(1); start += models::kUserFrameSamples)
    parts.push_back(encoder.step(
        pcm.narrow(1, start, std::min(models::kUserFrameSamples, pcm.size(1) - start)), *state));
  parts.push_back(encoder.flush(*state));
  return at::cat(parts, 1);
}

void compare_perception(const ParityModel& model, const Dump& dump, const at::Tensor& pcm,
                        ParityReport& report) {
  const auto add = [&](const char* name, const at::Tensor& ours) {
    const at::Tensor want = dump.real(name, 2);
    if (want.defined()) report.stages.push_back(compare(name, ours[0], want, report.options));
  };
  const auto* nemo = dynamic_cast<const models::NemoPerception*>(model.encoder);
  if (nemo) {
    const auto stages = nemo->forward_stages(pcm);
    add("mel", stages.mel);
    add("pre_encode", stages.pre_encode);
    add("encoder", stages.encoder);
    add("adapter", stages.adapter);
  }
  add("user", model.encoder->forward(pcm));
}

/// The LM and all after it, on our own user frames.
void compare_speech(const ParityModel& model, const Dump& dump, const at::Tensor& user,
                    ParityReport& report) {
  const at::Tensor text = dump.ids("text", 1), codes = dump.ids("codes", 2);
  if (text.defined() != codes.defined())
    dump.fail(text.defined() ? "codes" : "text", "both text and codes, or neither",
              "only one of them");
  if (text.defined()) {
    const auto& lm = model.lm->config();
    if (text.size(0) != user.size(1))
      dump.fail("text", std::to_string(user.size(1)) + " steps", shape_of(text));
    if (codes.size(0) != text.size(0) || codes.size(1) != lm.num_codebooks)
      dump.fail("codes",
                "[" + std::to_string(text.size(0)) + "," + std::to_string(lm.num_codebooks) + "]",
                shape_of(codes));
    if (text.lt(0).any().item<bool>() || text.ge(lm.text_vocab).any().item<bool>())
      dump.fail("text", "ids below " + std::to_string(lm.text_vocab), "others");
    if (codes.lt(0).any().item<bool>() || codes.ge(lm.code_vocab).any().item<bool>())
      dump.fail("codes", "ids below " + std::to_string(lm.code_vocab), "others");
    const Said forced = run_lm(*model.lm, user, text, codes);
    const auto add = [&](const char* name, int64_t dim, const at::Tensor& ours) {
      const at::Tensor want = dump.real(name, dim);
      if (want.defined()) report.stages.push_back(compare(name, ours, want, report.options));
    };
    add("text_logits", 2, forced.text_logits);
    add("audio_logits", 3, forced.audio_logits);
    report.tokens.push_back(compare_tokens("teacher-forced", forced, text, codes));
    report.tokens.push_back(
        compare_tokens("free-running", run_lm(*model.lm, user, {}, {}), text, codes));
  }
  const at::Tensor given = dump.ids("decoded_codes", 2), audio = dump.real("audio", 1);
  if (given.defined() && (given.size(0) == 0 || given.size(1) != model.codec->num_codebooks()))
    dump.fail("decoded_codes",
              "frames of " + std::to_string(model.codec->num_codebooks()) + " codes",
              shape_of(given));
  if (given.defined() && codes.defined())
    report.stages.push_back(
        compare("decoded_codes", without_control(model, codes), given, {0.0, 0.0}));
  if (!audio.defined()) return;
  if (!given.defined() && !codes.defined())
    dump.fail("audio", "codes or decoded_codes beside it", "neither");
  report.stages.push_back(
      compare("audio", speak(*model.codec, given.defined() ? given : without_control(model, codes)),
              audio, report.options));
}

nlohmann::json first_of(const std::optional<int64_t>& value) {
  return value ? nlohmann::json(*value) : nlohmann::json();
}

}  // namespace

bool ParityReport::is_within() const {
  return std::all_of(stages.begin(), stages.end(),
                     [](const StageParity& stage) { return stage.is_within(); }) &&
         std::none_of(tokens.begin(), tokens.end(),
                      [](const TokenParity& mode) { return mode.first_differing.has_value(); });
}

ParityReport compare_with_reference(const ParityModel& model, const models::TensorMap& reference,
                                    const std::string& file, const ParityOptions& options) {
  DUET_CHECK(model.encoder && model.lm && model.codec);
  const c10::InferenceMode inference;
  const Dump dump(reference, file);
  const at::Tensor samples = dump.real("pcm", 1);
  if (!samples.defined()) dump.fail("pcm", "the user's samples at 16 kHz", "nothing");
  ParityReport report;
  report.options = options;
  const at::Tensor pcm = samples.unsqueeze(0);
  compare_perception(model, dump, pcm, report);
  const at::Tensor streamed = hear_in_packets(*model.encoder, pcm);
  if (const at::Tensor want = dump.real("user", 2); want.defined())
    report.stages.push_back(compare("user, streamed", streamed[0], want, options));
  compare_speech(model, dump, streamed, report);
  return report;
}

std::string ParityReport::to_table() const {
  char line[256];
  std::snprintf(line, sizeof line, "%-15s %9s %10s %10s %10s %10s %10s  %s\n", "stage", "values",
                "mean", "p90", "p99", "max", "max|ref|", "first beyond the limit");
  std::string text = line;
  for (const StageParity& stage : stages) {
    const std::string verdict = !stage.problem.empty() ? stage.problem
                                : stage.first_differing
                                    ? "row " + std::to_string(*stage.first_differing)
                                    : "none";
    std::snprintf(line, sizeof line, "%-15s %9lld %10.3g %10.3g %10.3g %10.3g %10.3g  %s\n",
                  stage.stage.c_str(), static_cast<long long>(stage.num_values), stage.mean,
                  stage.p90, stage.p99, stage.max, stage.max_reference, verdict.c_str());
    text += line;
  }
  for (const TokenParity& mode : tokens) {
    const std::string first = mode.first_differing
                                  ? "first differing step " + std::to_string(*mode.first_differing)
                                  : std::string("no step differs");
    std::snprintf(line, sizeof line, "tokens, %-15s text %lld of %lld, codes %lld of %lld, %s\n",
                  (mode.mode + ":").c_str(), static_cast<long long>(mode.num_equal_text),
                  static_cast<long long>(mode.num_steps),
                  static_cast<long long>(mode.num_equal_codes),
                  static_cast<long long>(mode.num_steps), first.c_str());
    text += line;
  }
  std::snprintf(line, sizeof line, "limit %.3g + %.3g |ref|: %s\n", options.absolute,
                options.relative, is_within() ? "within" : "exceeded");
  return text + line;
}

std::string ParityReport::to_json() const {
  nlohmann::json json = {
      {"absolute", options.absolute}, {"relative", options.relative}, {"within", is_within()}};
  json["stages"] = nlohmann::json::array();
  for (const StageParity& stage : stages)
    json["stages"].push_back({{"stage", stage.stage},
                              {"values", stage.num_values},
                              {"mean", stage.mean},
                              {"p90", stage.p90},
                              {"p99", stage.p99},
                              {"max", stage.max},
                              {"max_reference", stage.max_reference},
                              {"first_differing", first_of(stage.first_differing)},
                              {"problem", stage.problem}});
  json["tokens"] = nlohmann::json::array();
  for (const TokenParity& mode : tokens)
    json["tokens"].push_back({{"mode", mode.mode},
                              {"steps", mode.num_steps},
                              {"equal_text", mode.num_equal_text},
                              {"equal_codes", mode.num_equal_codes},
                              {"first_differing", first_of(mode.first_differing)}});
  return json.dump(2);
}

}  // namespace duet::engine
