#include "models/duplex_lm.h"

#include <ATen/ATen.h>
#include <ATen/autocast_mode.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/version.h>

#include <catch2/catch.hpp>

#include "runtime/core/error.h"
#include "tests/models/duplex_lm_reference.h"
#include "tests/support/golden_weights.h"

using namespace duet::models;
using duet::test::GoldenWeightReader;
using duet::test::SlowDuplexLm;

namespace {

constexpr double kStreamTolerance = 1e-5;  // fp32, same sums in another order
constexpr double kLogitTolerance = 2e-4;   // fp32 against double through two layers, logits up to 8

/// The tiny model of the reference's golden values.
DuplexLmConfig tiny() {
  DuplexLmConfig config;
  config.llm.hidden = 48;
  config.llm.layers = 2;
  config.llm.heads = 4;
  config.llm.kv_heads = 2;
  config.llm.head_dim = 12;
  config.llm.intermediate = 64;
  config.text_vocab = 40;
  config.num_codebooks = 2;
  config.code_vocab = 63;
  config.user_channel_weight = 2.0;
  return config;
}

struct Inputs {
  at::Tensor user, text, codes;  // [B, T, U], [B, T], [B, K, T]
};

Inputs inputs(const DuplexLmConfig& config, int64_t batch, int64_t time, int64_t seed = 1) {
  const int64_t width = config.user_width > 0 ? config.user_width : config.llm.hidden;
  Inputs in;
  in.user = duet::test::golden_tensor("user" + std::to_string(seed), {batch, time, width}) * 8.0;
  const auto ids = [&](int64_t count, int64_t below, int64_t step) {
    return ((at::arange(count, at::kLong) + seed) * step).remainder(below);
  };
  in.text = ids(batch * time, config.text_vocab, 17).view({batch, time});
  in.codes = ids(batch * config.num_codebooks * time, config.code_vocab, 29)
                 .view({batch, config.num_codebooks, time});
  return in;
}

/// Runs steps from..to-1 and returns their logits side by side ([B, n, Vt], [B, n, K, V]).
DuplexLm::Logits run_steps(const DuplexLm& lm, const Inputs& in, int64_t from, int64_t to,
                           DuplexLm::State& state) {
  at::NoGradGuard no_grad;
  std::vector<at::Tensor> text, audio;
  for (int64_t t = from; t < to; ++t) {
    const DuplexLm::Logits out =
        lm.step(in.user.narrow(1, t, 1), {in.text.select(1, t), in.codes.select(2, t)}, state);
    text.push_back(out.text);
    audio.push_back(out.audio);
  }
  return {at::stack(text, 1), at::stack(audio, 1)};
}

double worst(const at::Tensor& a, const at::Tensor& b) {
  REQUIRE(a.sizes() == b.sizes());
  return (a.to(at::kDouble) - b.to(at::kDouble)).abs().max().item<double>();
}

void check_against_reference(const DuplexLmConfig& config, int64_t time, bool by_step) {
  GoldenWeightReader reader;
  const DuplexLm lm(config, WeightScope(reader));
  const SlowDuplexLm slow(config, reader.tensors());
  const Inputs in = inputs(config, 1, time);
  DuplexLm::State state = lm.initial_state(1);
  at::NoGradGuard no_grad;
  const DuplexLm::Logits got =
      by_step ? run_steps(lm, in, 0, time, state) : lm.forward(in.user, in.text, in.codes);
  const auto hidden = slow.hidden(in.user[0], in.text[0], in.codes[0]);
  for (int64_t t = 0; t < time; ++t) {
    INFO("step " << t);
    const auto text = slow.text_logits(hidden[static_cast<size_t>(t)]);
    const auto audio = slow.audio_logits(hidden[static_cast<size_t>(t)]);
    REQUIRE(worst(got.text[0][t], at::tensor(text, at::kDouble)) < kLogitTolerance);
    REQUIRE(worst(got.audio[0][t].flatten(), at::tensor(audio, at::kDouble)) < kLogitTolerance);
  }
}

}  // namespace

TEST_CASE("the formula weights are the reference's", "[golden]") {
  CHECK(duet::test::fnv1a("a") == 0xE40C292CU);
  CHECK(duet::test::fnv1a("embed_tokens.weight") == 3016398681U);
  const at::Tensor text = duet::test::golden_tensor("embed_tokens.weight", {40, 48});
  const double want_text[] = {0.203823, 0.202930, 0.106595, -0.039873};
  for (int i = 0; i < 4; ++i) CHECK(text[0][i].item<double>() == Approx(want_text[i]).margin(1e-6));
  const at::Tensor audio = duet::test::golden_tensor("embed_audio_tokens.1.weight", {63, 48});
  const double want_audio[] = {0.120901, 0.208175, 0.197541};
  for (int i = 0; i < 3; ++i)
    CHECK(audio[62][i].item<double>() == Approx(want_audio[i]).margin(1e-6));
}

TEST_CASE("duplex lm asks for NeMo's tensors and no others", "[unit]") {
  GoldenWeightReader reader;
  DuplexLmConfig config = tiny();
  config.llm.layers = 1;
  const DuplexLm lm(config, WeightScope(reader));
  std::string names;
  for (const auto& [name, tensor] : reader.tensors()) names += name + " ";
  CHECK(names ==
        "audio_head.bias audio_head.weight embed_audio_tokens.0.weight embed_audio_tokens.1.weight "
        "embed_tokens.weight "
        "llm.layers.0.input_layernorm.weight llm.layers.0.mlp.down_proj.weight "
        "llm.layers.0.mlp.gate_proj.weight "
        "llm.layers.0.mlp.up_proj.weight llm.layers.0.post_attention_layernorm.weight "
        "llm.layers.0.self_attn.k_proj.weight llm.layers.0.self_attn.o_proj.weight "
        "llm.layers.0.self_attn.q_proj.weight llm.layers.0.self_attn.v_proj.weight llm.norm.weight "
        "lm_head.weight ");
}

TEST_CASE("duplex lm forward and step equal the definition", "[unit]") {
  DuplexLmConfig config = tiny();
  SECTION("NeMo's shape") {}
  SECTION("tied tables") { config.tie_text = config.tie_audio = true; }
  SECTION("adapter and Qwen2 biases") {
    config.user_width = 20;
    config.llm.attention_bias = true;
  }
  SECTION("as many kv heads as heads, wide heads") {
    config.llm.kv_heads = 4;
    config.llm.head_dim = 16;
  }
  SECTION("trained window") { config.llm.window = 5; }
  check_against_reference(config, 13, /*by_step=*/false);
  check_against_reference(config, 13, /*by_step=*/true);
}

TEST_CASE("duplex lm step with attention sinks equals positions by cache slot", "[unit]") {
  DuplexLmConfig config = tiny();
  config.llm.window = 7;
  config.llm.sinks = 3;
  check_against_reference(config, 25, /*by_step=*/true);
}

TEST_CASE("duplex lm steps equal forward around and past the window", "[property]") {
  DuplexLmConfig config = tiny();
  config.llm.window = 8;
  GoldenWeightReader reader;
  const DuplexLm lm(config, WeightScope(reader));
  for (const int64_t time : {1, 7, 8, 9, 40}) {
    const Inputs in = inputs(config, 2, time);
    DuplexLm::State state = lm.initial_state(2);
    const DuplexLm::Logits streamed = run_steps(lm, in, 0, time, state);
    at::NoGradGuard no_grad;
    const DuplexLm::Logits whole = lm.forward(in.user, in.text, in.codes);
    INFO("T = " << time);
    CHECK(worst(streamed.text, whole.text) < kStreamTolerance);
    CHECK(worst(streamed.audio, whole.audio) < kStreamTolerance);
  }
}

TEST_CASE(
    "duplex lm with sinks equals the reference's unlimited attention until the window is full",
    "[property]") {
  DuplexLmConfig limited = tiny(), unlimited = tiny();
  limited.llm.window = 8;
  limited.llm.sinks = 2;
  GoldenWeightReader reader;
  const DuplexLm a(limited, WeightScope(reader)), b(unlimited, WeightScope(reader));
  const Inputs in = inputs(limited, 1, 12);
  DuplexLm::State sa = a.initial_state(1), sb = b.initial_state(1);
  const at::Tensor ta = run_steps(a, in, 0, 12, sa).text, tb = run_steps(b, in, 0, 12, sb).text;
  CHECK(worst(ta.narrow(1, 0, 8), tb.narrow(1, 0, 8)) < kStreamTolerance);
  CHECK(worst(ta.narrow(1, 8, 4), tb.narrow(1, 8, 4)) > 1e-3);
}

TEST_CASE("duplex lm state: reset, clone, isolation, constant size", "[property]") {
  DuplexLmConfig config = tiny();
  config.llm.window = 6;
  config.llm.sinks = GENERATE(0, 2);
  GoldenWeightReader reader;
  const DuplexLm lm(config, WeightScope(reader));
  const Inputs in = inputs(config, 1, 30), other = inputs(config, 1, 30, 5);
  DuplexLm::State state = lm.initial_state(1);
  const int64_t bytes = state.num_bytes();
  const at::Tensor want = run_steps(lm, in, 0, 30, state).text;
  CHECK(state.num_bytes() == bytes);
  SECTION("reset equals fresh") {
    lm.reset(state);
    CHECK(at::equal(run_steps(lm, in, 0, 30, state).text, want));
  }
  SECTION("a clone goes on where the original was") {
    lm.reset(state);
    run_steps(lm, in, 0, 11, state);
    DuplexLm::State copy = state.clone();
    run_steps(lm, other, 0, 15, state);
    CHECK(at::equal(run_steps(lm, in, 11, 30, copy).text, want.narrow(1, 11, 19)));
  }
  SECTION("interleaved sessions do not touch") {
    DuplexLm::State a = lm.initial_state(1), b = lm.initial_state(1);
    std::vector<at::Tensor> got;
    for (int64_t t = 0; t < 30; ++t) {
      got.push_back(run_steps(lm, in, t, t + 1, a).text);
      run_steps(lm, other, t, t + 1, b);
    }
    CHECK(at::equal(at::cat(got, 1), want));
  }
}

TEST_CASE("duplex lm is causal and rows of a batch do not touch", "[property]") {
  const DuplexLmConfig config = tiny();
  GoldenWeightReader reader;
  const DuplexLm lm(config, WeightScope(reader));
  at::NoGradGuard no_grad;
  Inputs in = inputs(config, 3, 10);
  const DuplexLm::Logits before = lm.forward(in.user, in.text, in.codes);
  const DuplexLm::Logits alone =
      lm.forward(in.user.narrow(0, 1, 1), in.text.narrow(0, 1, 1), in.codes.narrow(0, 1, 1));
  CHECK(worst(alone.audio, before.audio.narrow(0, 1, 1)) < kStreamTolerance);
  in.user.select(1, 6).add_(1.0);
  const DuplexLm::Logits after = lm.forward(in.user, in.text, in.codes);
  CHECK(worst(before.text.narrow(1, 0, 6), after.text.narrow(1, 0, 6)) == 0.0);
  CHECK(worst(before.text.select(1, 6), after.text.select(1, 6)) > 1e-3);
}

TEST_CASE("duplex lm starts from text pad and DELAY", "[unit]") {
  DuplexLmConfig config = tiny();
  config.text_pad = 3;
  GoldenWeightReader reader;
  const DuplexLm lm(config, WeightScope(reader));
  const DuplexLm::Tokens tokens = lm.initial_tokens(2);
  CHECK(at::equal(tokens.text, at::full({2}, 3, at::kLong)));
  CHECK(at::equal(tokens.codes, at::full({2, 2}, 62, at::kLong)));
}

TEST_CASE("every parameter of the duplex lm gets a gradient, and the right one", "[unit]") {
  DuplexLmConfig config = tiny();
  config.user_width = 20;
  config.tie_text = config.tie_audio = GENERATE(false, true);
  config.llm.window = GENERATE(0, 4);
  GoldenWeightReader reader;
  const DuplexLm lm(config, WeightScope(reader));
  std::vector<at::Tensor> parameters;
  for (const auto& [name, tensor] : reader.tensors()) {
    tensor.requires_grad_(true);
    parameters.push_back(tensor);
  }
  const Inputs in = inputs(config, 2, 9);
  const auto loss = [&] {
    const DuplexLm::Logits out = lm.forward(in.user, in.text, in.codes);
    return at::log_softmax(out.text, -1).select(-1, 5).mean() +
           at::log_softmax(out.audio, -1).select(-1, 7).mean();
  };
  const auto gradients = torch::autograd::grad({loss()}, parameters);
  size_t index = 0;
  for (const auto& [name, tensor] : reader.tensors()) {
    INFO(name);
    const at::Tensor gradient = gradients[index++];
    CHECK(gradient.abs().max().item<double>() > 0.0);
    // Directional derivative along the sign of the gradient.
    at::NoGradGuard no_grad;
    const double epsilon = 2e-3 / static_cast<double>(std::sqrt(tensor.numel()));
    const at::Tensor direction = gradient.sign() * epsilon;
    tensor.add_(direction);
    const double up = loss().item<double>();
    tensor.sub_(direction * 2);
    const double down = loss().item<double>();
    tensor.add_(direction);
    const double want = (gradient * gradient.sign()).sum().item<double>() * 2 * epsilon;
    CHECK(up - down == Approx(want).epsilon(0.05).margin(5e-6));
  }
}

TEST_CASE("duplex lm trains under bf16 autocast", "[unit]") {
  const DuplexLmConfig config = tiny();
  GoldenWeightReader reader;
  const DuplexLm lm(config, WeightScope(reader));
  for (const auto& [name, tensor] : reader.tensors()) tensor.requires_grad_(true);
  const Inputs in = inputs(config, 2, 9);
  const at::Tensor exact = lm.forward(in.user, in.text, in.codes).text.detach();
#if TORCH_VERSION_MAJOR >= 2
  at::autocast::set_autocast_enabled(at::kCPU, true);
#else
  at::autocast::set_cpu_enabled(true);
#endif
  const at::Tensor rough = lm.forward(in.user, in.text, in.codes).text.to(at::kFloat);
#if TORCH_VERSION_MAJOR >= 2
  at::autocast::set_autocast_enabled(at::kCPU, false);
#else
  at::autocast::set_cpu_enabled(false);
#endif
  at::autocast::clear_cache();
  const auto gradients =
      torch::autograd::grad({rough.square().mean()}, {reader.tensors().at("embed_tokens.weight")});
  CHECK(gradients[0].scalar_type() == at::kFloat);
  CHECK(at::isfinite(gradients[0]).all().item<bool>());
  CHECK(worst(rough, exact) < 0.3);
  CHECK((rough - exact).abs().mean().item<double>() < 0.03);
}

TEST_CASE("duplex lm refuses impossible configs by name", "[unit]") {
  DuplexLmConfig config = tiny();
  config.llm.kv_heads = 3;
  CHECK_THROWS_WITH(config.validate(), "lm.kv_heads: expected a divisor of lm.heads, found 3");
  config = tiny();
  config.llm.sinks = 4;
  CHECK_THROWS_WITH(config.validate(), "lm.sinks: expected >= 0 and below lm.window, found 4");
  config = tiny();
  config.text_pad = 40;
  CHECK_THROWS_AS(config.validate(), duet::core::ConfigError);
}
