#include "models/weights/state_dict.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>

#include <catch2/catch.hpp>

#include "runtime/core/error.h"
#include "tests/support/temp_dir.h"

using namespace duet::models;
using duet::core::LoadError;
using duet::support::error_of;

TEST_CASE("weight norm: both spellings fold to g v / |v| by rows, folded weights stay", "[unit]") {
  const at::Tensor v = at::tensor({3.0F, 4.0F, 0.0F, -2.0F}).reshape({2, 1, 2}),
                   g = at::tensor({10.0F, 3.0F}).reshape({2, 1, 1});
  const at::Tensor want = at::tensor({6.0F, 8.0F, 0.0F, -3.0F}).reshape({2, 1, 2});
  TensorMap tensors = {{"old.weight_g", g},
                       {"old.weight_v", v},
                       {"old.bias", at::ones({2})},
                       {"new.parametrizations.weight.original0", g.to(at::kBFloat16)},
                       {"new.parametrizations.weight.original1", v.to(at::kBFloat16)},
                       {"folded.weight", v}};
  fold_weight_norm(tensors, "F");
  REQUIRE(tensors.size() == 4);
  CHECK(tensors.at("old.weight").allclose(want));
  CHECK(tensors.at("new.weight").allclose(want));
  CHECK(tensors.at("new.weight").scalar_type() == at::kFloat);
  CHECK(tensors.at("folded.weight").equal(v));
}

TEST_CASE("weight norm: halves, doubles and misfits are refused", "[unit]") {
  const auto refusal = [](TensorMap tensors) {
    return error_of<LoadError>([&] { fold_weight_norm(tensors, "F"); });
  };
  const at::Tensor v = at::ones({2, 3, 4}), g = at::ones({2, 1, 1});
  CHECK(refusal({{"x.weight_g", g}}) ==
        "x.weight_v: expected the other half of a weight norm, found nothing in F");
  CHECK(refusal({{"x.parametrizations.weight.original1", v}}) ==
        "x.parametrizations.weight.original0: expected the other half of a weight norm, found "
        "nothing in F");
  CHECK(refusal({{"x.weight_g", g}, {"x.weight_v", v}, {"x.weight", v}}) ==
        "x.weight: expected one spelling of the weight, found two in F");
  CHECK(refusal({{"x.weight_g", at::ones({3, 1, 1})}, {"x.weight_v", v}}) ==
        "x: expected weight norm with one g for each row of v [2,3,4], found [3,1,1] in F");
}

TEST_CASE("LoRA merges into its base and loses its prefix", "[unit]") {
  const std::string q = "llm.base_model.model.layers.0.self_attn.q_proj";
  TensorMap tensors = {
      {q + ".base_layer.weight", at::ones({2, 3}).to(at::kBFloat16)},
      {q + ".base_layer.bias", at::zeros({2})},
      {q + ".lora_A.default.weight",
       at::tensor({1.0F, 0.0F, 2.0F, 0.0F, 1.0F, 0.0F}).reshape({2, 3})},
      {q + ".lora_B.default.weight", at::tensor({1.0F, 0.0F, 0.0F, 3.0F}).reshape({2, 2})},
      {"llm.base_model.model.norm.weight", at::full({3}, 7.0F)},
      {"lm_head.weight", at::ones({1})}};
  TensorMap rooted = tensors;
  merge_lora(tensors, {.alpha = 8}, "F");
  REQUIRE(tensors.size() == 4);
  CHECK(tensors.at("llm.layers.0.self_attn.q_proj.weight")
            .equal(at::tensor({5.0F, 1.0F, 9.0F, 1.0F, 13.0F, 1.0F}).reshape({2, 3})));
  CHECK(tensors.count("llm.layers.0.self_attn.q_proj.bias") == 1);
  CHECK(tensors.at("llm.norm.weight").equal(at::full({3}, 7.0F)));
  merge_lora(rooted, {.alpha = 8, .use_rslora = true}, "F");
  CHECK(rooted.at("llm.layers.0.self_attn.q_proj.weight")[1][1].item<double>() ==
        Approx(1 + 8 / std::sqrt(2.0) * 3));
  TensorMap plain = {{"llm.norm.weight", at::ones({3})}};
  merge_lora(plain, {}, "F");
  CHECK(plain.size() == 1);
}

TEST_CASE("LoRA that is incomplete or of another kind is refused", "[unit]") {
  const auto refusal = [](TensorMap tensors) {
    return error_of<LoadError>([&] { merge_lora(tensors, {}, "F"); });
  };
  const at::Tensor base = at::ones({2, 3}), a = at::ones({1, 3}), b = at::ones({2, 1});
  CHECK(refusal({{"x.base_layer.weight", base}, {"x.lora_A.default.weight", a}}) ==
        "x.lora_B.default.weight: expected the adapter of x.base_layer.weight, found nothing in F");
  CHECK(refusal({{"x.lora_A.default.weight", a}}) ==
        "x.base_layer.weight: expected the weight this adapter belongs to, found nothing in F");
  CHECK(refusal({{"x.base_layer.weight", base},
                 {"x.lora_A.default.weight", b},
                 {"x.lora_B.default.weight", b}}) ==
        "x.lora: expected A [r,in] and B [out,r] for [2,3], found [2,1] and [2,1] in F");
  CHECK(refusal({{"x.lora_magnitude_vector.default.weight", b}}) ==
        "x.lora_magnitude_vector.default.weight: expected LoRA on linear layers under the name "
        "default, found another "
        "adapter in F");
}

TEST_CASE("names of .nemo files become those of a duplex model", "[unit]") {
  const at::Tensor one = at::ones({1});
  const TensorMap codec = duplex_names_of_codec({{"audio_encoder.a", one},
                                                 {"audio_decoder.b", one},
                                                 {"vector_quantizer.c", one},
                                                 {"discriminator.d", one}});
  REQUIRE(codec.size() == 3);
  CHECK(codec.count("audio_codec.audio_encoder.a") + codec.count("audio_codec.audio_decoder.b") +
            codec.count("audio_codec.vector_quantizer.c") ==
        3);
  const TensorMap asr = duplex_names_of_asr(
      {{"encoder.a", one}, {"preprocessor.b", one}, {"decoder.c", one}, {"joint.d", one}});
  CHECK(asr.size() == 2);
  CHECK(asr.count("perception.encoder.a") == 1);
  CHECK(rename_prefixes({{"x", one}}, {{"y", "z"}}, false).size() == 1);
}
