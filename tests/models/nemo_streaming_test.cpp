// The laws of streaming for the whole perception, in every variant a checkpoint may ask for.
#include <ATen/ATen.h>

#include <catch2/catch.hpp>

#include "models/nemo_perception.h"
#include "tests/support/golden_weights.h"
#include "tests/support/nemo_golden.h"
#include "tests/support/streaming_laws.h"

using namespace duet;
using models::NemoPerception;
using models::NemoPerceptionConfig;

namespace {

NemoPerception make_perception(const NemoPerceptionConfig& config) {
  test::GoldenWeightReader reader;
  return {config, models::WeightScope(reader).sub("perception")};
}

test::StreamSubject subject_of(const NemoPerception& perception) {
  return test::make_subject(
      perception,
      {.input_time_axis = 1, .output_time_axis = 1, .granularity = 1, .has_empty_step = true});
}

// Values of order 1 after up to three layers; sums of up to 80 terms in another order.
constexpr test::Tolerance kTolerance{1e-5, 1e-5};
const std::vector<int64_t> kPackets{40, 123, 1280, 4000};

}  // namespace

TEST_CASE("streaming perception equals offline for every context and packet size", "[property]") {
  // 20 frames and a bit: more than left + 2 chunks for all but [70, 1], which is tested past its
  // context below.
  const models::nn::ChunkContext context =
      GENERATE(models::nn::ChunkContext{6, 1}, models::nn::ChunkContext{6, 2},
               models::nn::ChunkContext{8, 4}, models::nn::ChunkContext{70, 2},
               models::nn::ChunkContext{0, 1}, models::nn::ChunkContext{0, 3});
  const NemoPerception perception = make_perception(test::tiny_perception(context));
  test::check_chunking(subject_of(perception), test::noise({1, 26000 + 57}, 11), kPackets,
                       kTolerance, 2);
}

TEST_CASE("streaming perception equals offline for awkward lengths", "[property]") {
  const NemoPerception perception = make_perception(test::tiny_perception());
  const auto subject = subject_of(perception);
  // Shorter than a mel frame, not a multiple of one, and n mod 8 = 1, where the reference carries a
  // garbage frame.
  for (const int64_t length : {0, 1, 100, 159, 160, 161, 199, 200, 1279, 1280, 1440, 1480, 1481,
                               9 * 160, 9 * 160 + 71, 17 * 160, 2560, 2760, 5000}) {
    INFO("length " << length);
    test::check_chunking(subject, test::noise({1, length}, 12), kPackets, kTolerance, 1);
    CHECK(perception.forward(at::zeros({1, length})).size(1) == perception.num_frames(length));
  }
}

TEST_CASE("streaming perception equals offline far past the context", "[property]") {
  // [70, 1]: caches of encoder and adapter are evicted and moved to the front of their buffers
  // several times.
  const NemoPerception perception = make_perception(test::tiny_perception({70, 2}));
  const at::Tensor x = test::noise({1, 1280 * 400 + 333}, 13);
  test::check_chunking(subject_of(perception), x, {1280, 160000}, kTolerance, 0);
}

TEST_CASE("streaming perception equals offline at the edge of the context", "[property]") {
  const NemoPerception perception = make_perception(test::tiny_perception({8, 2}));
  for (const int64_t frames : {7, 8, 9, 10, 11, 12})
    test::check_chunking(subject_of(perception), test::noise({1, 1280 * frames}, 14), {1280},
                         kTolerance, 1);
}

TEST_CASE("the perception obeys the other laws of streams", "[property]") {
  const NemoPerception perception = make_perception(test::tiny_perception());
  const auto subject = subject_of(perception);
  const at::Tensor x = test::noise({3, 21000}, 15);
  test::check_reset(subject, x, 1280);
  test::check_reset(subject, x, 123);
  test::check_clone(subject, x, 1280);
  test::check_clone(subject, x, 700);
  test::check_isolation(subject, x, 1280);
  test::check_bounded(subject, test::noise({1, 1280 * 200}, 16), 1280);
  test::check_batch(subject, x, 1280, kTolerance);
}

TEST_CASE("a user frame depends on no sample past its chunk", "[property]") {
  at::InferenceMode inference;
  for (const auto& context : {models::nn::ChunkContext{4, 1}, models::nn::ChunkContext{4, 2}}) {
    const NemoPerception perception = make_perception(test::tiny_perception(context));
    const at::Tensor x = test::golden_signal();
    const at::Tensor before = perception.forward(x);
    for (int64_t t = 0; t < 9; ++t) {
      const int64_t last =
          t / context.chunk * context.chunk + context.chunk - 1;  // of the chunk of t
      INFO("frame " << t << ", chunk of " << context.chunk);
      const int64_t first_unseen = 1280 * last + 199;
      test::check_causality(subject_of(perception), x, first_unseen, t + 1);
      at::Tensor changed = x.clone();
      changed[0][first_unseen - 1] += 0.5F;
      CHECK_FALSE(at::equal(perception.forward(changed)[0][t], before[0][t]));
    }
  }
}

TEST_CASE("perception variants stream like they run offline", "[property]") {
  NemoPerceptionConfig config = test::tiny_perception();
  models::nn::ConformerConfig& conformer = config.encoder.conformer;
  SECTION("batch norm") { conformer.conv_norm = models::nn::ConformerConfig::ConvNorm::kBatchNorm; }
  SECTION("no biases") { conformer.has_bias = false; }
  SECTION("no scaling") { config.encoder.is_scaled = false; }
  SECTION("shared position biases") { conformer.has_untied_biases = false; }
  SECTION("output projection") {
    config.encoder.out_features = 24;
    config.adapter->in_features = 24;
  }
  SECTION("identity connector with projection") { config.adapter.reset(); }
  SECTION("identity connector without projection") {
    config.adapter.reset();
    config.projection_in = 0;
    config.out_width = 32;
  }
  SECTION("128 mel bins") { config.log_mel.num_mels = config.encoder.in_features = 128; }
  SECTION("chunks of the adapter twice those of the encoder") {
    config.encoder.conformer.context = {6, 1};
    config.adapter->conformer.context = {6, 2};
  }
  SECTION("chunks that do not divide each other") {
    config.encoder.conformer.context = {6, 3};
    config.adapter->conformer.context = {4, 2};
  }
  const NemoPerception perception = make_perception(config);
  const at::Tensor x = test::noise({2, 16000 + 91}, 17);
  test::check_all_laws(subject_of(perception), x, {1280, 123, 4000}, kTolerance);
  CHECK(perception.forward(x).size(2) == perception.width());
}

TEST_CASE("variants are not the same function", "[unit]") {
  at::InferenceMode inference;
  const at::Tensor x = test::golden_signal();
  const at::Tensor plain = make_perception(test::tiny_perception()).forward(x);
  auto config = test::tiny_perception();
  config.encoder.is_scaled = false;
  CHECK((make_perception(config).forward(x) - plain).abs().max().item<double>() > 1e-5);
  config = test::tiny_perception();
  config.encoder.conformer.has_bias = false;
  CHECK((make_perception(config).forward(x) - plain).abs().max().item<double>() > 1e-5);
  config = test::tiny_perception();
  config.encoder.conformer.has_untied_biases = false;
  CHECK((make_perception(config).forward(x) - plain).abs().max().item<double>() > 1e-5);
}
