#include "models/nemo_perception.h"

#include <ATen/ATen.h>

#include <catch2/catch.hpp>

#include "runtime/core/error.h"
#include "tests/support/golden_weights.h"
#include "tests/support/nemo_golden.h"
#include "tests/support/streaming_laws.h"

using namespace duet;
using models::NemoPerception;

namespace {

NemoPerception make_perception(const models::NemoPerceptionConfig& config) {
  test::GoldenWeightReader reader;
  return {config, models::WeightScope(reader).sub("perception")};
}

at::Tensor first_four(const at::Tensor& stage, int64_t frame) {
  return stage[0][frame].narrow(0, 0, 4);
}

void check_sum(const at::Tensor& stage, double want) {
  // 11 frames x 32 or 48 values, each within 1e-4.
  CHECK(stage.to(at::kDouble).abs().sum().item<double>() == Approx(want).margin(2e-3));
}

}  // namespace

TEST_CASE("every stage of the tiny perception has the reference's values", "[golden]") {
  at::InferenceMode inference;
  const auto stages =
      make_perception(test::tiny_perception()).forward_stages(test::golden_signal());
  const auto check = [](const at::Tensor& stage, double sum, at::Tensor frame0, at::Tensor frame1,
                        at::Tensor frame10) {
    REQUIRE(stage.size(1) == 11);
    check_sum(stage, sum);
    test::expect_close(first_four(stage, 0), frame0, test::kGoldenTolerance, "frame 0");
    test::expect_close(first_four(stage, 1), frame1, test::kGoldenTolerance, "frame 1");
    test::expect_close(first_four(stage, 10), frame10, test::kGoldenTolerance, "frame 10");
  };
  SECTION("pre_encode")
  check(stages.pre_encode, 81.4066, at::tensor({-0.14981, -0.00696, 0.07808, -0.02758}),
        at::tensor({0.56201, 0.77771, -0.11195, -0.93861}),
        at::tensor({-0.36696, -0.22002, 0.15354, 0.23567}));
  SECTION("encoder")
  check(stages.encoder, 302.5732, at::tensor({-1.28475, 1.32695, -0.52929, 1.01910}),
        at::tensor({-0.47722, 1.72803, -0.81446, 0.01221}),
        at::tensor({-1.66897, 1.08345, -0.55165, 0.90983}));
  SECTION("adapter")
  check(stages.adapter, 318.0238, at::tensor({-0.38686, 0.88513, -1.38511, 1.17188}),
        at::tensor({-0.36268, 0.87878, -1.38893, 1.15805}),
        at::tensor({-0.07372, 0.66333, -1.26979, 1.10455}));
  SECTION("proj")
  check(stages.user, 176.3589, at::tensor({0.55513, -0.41026, 0.51337, -0.21532}),
        at::tensor({0.60270, -0.43900, 0.51857, -0.19610}),
        at::tensor({0.69812, -0.48652, 0.51034, -0.13349}));
}

TEST_CASE("without look-ahead the tiny perception has the reference's values", "[golden]") {
  at::InferenceMode inference;
  const auto stages =
      make_perception(test::tiny_perception({4, 1})).forward_stages(test::golden_signal());
  check_sum(stages.encoder, 301.6210);
  test::expect_close(first_four(stages.encoder, 0),
                     at::tensor({-1.21368, 1.30401, -0.55555, 1.08559}), test::kGoldenTolerance);
  check_sum(stages.user, 176.6228);
  test::expect_close(first_four(stages.user, 0), at::tensor({0.55094, -0.40828, 0.51393, -0.21833}),
                     test::kGoldenTolerance);
  test::expect_close(first_four(stages.user, 10),
                     at::tensor({0.71193, -0.49456, 0.51129, -0.12720}), test::kGoldenTolerance);
}

TEST_CASE("encoder frames per mel frames", "[golden]") {
  const NemoPerception perception = make_perception(test::tiny_perception());
  const std::vector<std::pair<int64_t, int64_t>> want{
      {0, 1}, {1, 1}, {2, 2}, {9, 2}, {10, 3}, {17, 3}, {18, 4}, {24, 4}, {96, 13}, {100, 14}};
  for (const auto& [mel, frames] : want) CHECK(perception.encoder().num_frames(mel) == frames);
  CHECK(perception.num_frames(16000) == 14);
}

TEST_CASE("user frames appear with the packet that completes their chunk", "[golden]") {
  at::InferenceMode inference;
  const auto available = [](models::nn::ChunkContext context, const std::vector<int64_t>& packets) {
    const NemoPerception perception = make_perception(test::tiny_perception(context));
    auto state = perception.initial_state(1);
    std::vector<int64_t> out;
    int64_t total = 0;
    for (const int64_t size : packets)
      out.push_back(total += perception.step(at::zeros({1, size}), *state).size(1));
    return out;
  };
  CHECK(available({4, 1}, {1280, 1280, 1280, 1280}) == std::vector<int64_t>{1, 2, 3, 4});
  CHECK(available({4, 2}, {1280, 1280, 1280, 1280}) == std::vector<int64_t>{0, 2, 2, 4});
  CHECK(available({4, 1}, {199, 1, 1279, 1}) == std::vector<int64_t>{0, 1, 1, 2});
}

TEST_CASE("declared look-ahead of the cascade of encoder and adapter", "[unit]") {
  CHECK(make_perception(test::tiny_perception({4, 1})).lookahead_samples() == 200);
  CHECK(make_perception(test::tiny_perception({4, 2})).lookahead_samples() == 1480);
  auto config = test::tiny_perception({4, 1});
  config.adapter->conformer.context = {4, 2};
  CHECK(make_perception(config).lookahead_samples() == 1480);
  config = test::tiny_perception({6, 3});
  config.adapter->conformer.context = {4, 2};
  // Adapter frame 2 needs encoder frame 3, whose chunk ends at 5.
  CHECK(make_perception(config).lookahead_samples() == 3 * 1280 + 200);
}

TEST_CASE("a batch norm of running statistics follows its formula", "[golden]") {
  at::InferenceMode inference;
  auto config = test::tiny_perception();
  config.encoder.conformer.num_layers = 1;
  config.encoder.conformer.conv_norm = models::nn::ConformerConfig::ConvNorm::kBatchNorm;
  test::GoldenWeightReader reader;
  const models::nn::ConformerConv conv(config.encoder.conformer,
                                       models::WeightScope(reader).sub("conv"));
  const at::Tensor x = test::noise({1, 5, 32}, 3);
  const at::Tensor got = conv.forward(x);
  const auto& w = reader.tensors();
  const at::Tensor wide = at::linear(x, w.at("conv.pointwise_conv1.weight").squeeze(-1),
                                     w.at("conv.pointwise_conv1.bias"));
  const at::Tensor z = wide.narrow(2, 0, 32) * at::sigmoid(wide.narrow(2, 32, 32));
  at::Tensor y = at::zeros({1, 5, 32});
  for (int64_t t = 0; t < 5; ++t) {
    y[0][t] = w.at("conv.depthwise_conv.bias").clone();
    for (int64_t k = 0; k < 9; ++k)
      if (t - 8 + k >= 0)
        y[0][t] += w.at("conv.depthwise_conv.weight").select(2, k).squeeze(1) * z[0][t - 8 + k];
  }
  y = (y - w.at("conv.batch_norm.running_mean")) /
          (w.at("conv.batch_norm.running_var") + 1e-5).sqrt() * w.at("conv.batch_norm.weight") +
      w.at("conv.batch_norm.bias");
  y = y * at::sigmoid(y);
  y = at::linear(y, w.at("conv.pointwise_conv2.weight").squeeze(-1),
                 w.at("conv.pointwise_conv2.bias"));
  test::expect_close(got, y, test::kStreamTolerance);
}

TEST_CASE("the chunk mask allows the reference's pairs", "[golden]") {
  const at::Tensor mask = models::nn::chunk_mask({4, 2}, 8, 8);
  const std::vector<std::pair<int64_t, int64_t>> allowed{{0, 1}, {0, 1}, {0, 3}, {0, 3},
                                                         {0, 5}, {0, 5}, {2, 7}, {2, 7}};
  for (int64_t i = 0; i < 8; ++i)
    for (int64_t j = 0; j < 8; ++j)
      CHECK(mask[i][j].item<bool>() == (j >= allowed[static_cast<size_t>(i)].first &&
                                        j <= allowed[static_cast<size_t>(i)].second));
}

TEST_CASE("distances are looked up where the reference's shift puts them", "[golden]") {
  // rel_shift of the 3 x 7 matrix 0..20, first 4 columns: row i holds distances 3, 2, .. -3 and
  // column j of the result is distance (4 - 3 + i) - j, i.e. 7 i + 3 - ((1 + i) - j).
  const at::Tensor index = models::nn::relative_index({3, 1}, 3, 4);
  const std::vector<std::vector<int64_t>> want{{2, 3, 4, 5}, {8, 9, 10, 11}, {14, 15, 16, 17}};
  for (int64_t i = 0; i < 3; ++i)
    for (int64_t j = 0; j < 4; ++j) {
      const int64_t distance = 1 + i - j;
      CHECK(7 * i + 3 - distance == want[static_cast<size_t>(i)][static_cast<size_t>(j)]);
      // With chunks of one no key lies ahead: those distances are clamped to 0.
      CHECK(index[i][j].item<int64_t>() == std::max<int64_t>(0, distance));
    }
}
