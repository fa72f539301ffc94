#include "tools/train/duplex_task.h"

#include <ATen/ATen.h>

#include <catch2/catch.hpp>
#include <cmath>

#include "runtime/core/error.h"
#include "tests/support/tiny_model.h"
#include "tools/train/parameter_store.h"

using namespace duet;
using namespace duet::train;

namespace {

const char* const kPieces = DUET_SOURCE_DIR "/tests/data/tokenizer/sentencepiece.model";

DialogueMaterial material() {
  DialogueMaterial out;
  out.silence = {5, 6};
  Utterance question;
  question.role = "user";
  question.topic = "talk";
  question.text = "Who are you?";
  question.reply = "A machine.";
  for (int i = 0; i < 16000; ++i)
    question.samples.push_back(static_cast<int16_t>(8000.0 * std::sin(0.2 * i)));
  out.users = {question};
  AgentClip reply;
  reply.text = "A machine.";
  reply.tokens = {20, 21, 22};
  reply.num_frames = 10;
  reply.codes.assign(20, 3);
  out.agents = {reply};
  return out;
}

DuplexTask::Config tiny() {
  const engine::ModelConfig model = test::tiny_model_config();
  DuplexTask::Config config;
  config.encoder = model.whisper;
  config.lm = model.lm;
  config.optimizer.learning_rate = 3e-3;
  config.batch.codebook_size = 12;
  config.batch.silence = {5, 6};
  config.batch.index_multiple = 16;
  config.batch_dialogues = 2;
  config.bf16 = false;
  return config;
}

std::shared_ptr<const DialogueMixer> mixer() {
  DialogueConfig config;
  config.num_steps = 100;
  config.codebook_size = 12;
  return std::make_shared<const DialogueMixer>(config, material());
}

double mean_loss(DuplexTask& task, std::mt19937_64& rng, int64_t from, int64_t steps) {
  double sum = 0.0;
  for (int64_t i = 0; i < steps; ++i) {
    const Metrics metrics = task.step({.step = from + i, .progress = 0.0, .lr_factor = 1.0}, rng);
    REQUIRE(std::isfinite(metrics.at("loss")));
    sum += metrics.at("loss");
  }
  return sum / static_cast<double>(steps);
}

}  // namespace

TEST_CASE("the duplex LM learns the one dialogue there is, heard anew or from the pool", "[unit]") {
  const int64_t fresh = GENERATE(0, 1);
  DuplexTask::Config config = tiny();
  config.train_encoder = fresh > 0 ? TrainEncoder::kNone : TrainEncoder::kTop;
  config.fresh_dialogues = fresh;
  ParameterStore store(1);
  DuplexTask task(config, store, mixer(), kPieces, kPieces, {});
  std::mt19937_64 rng(1);
  const double before = mean_loss(task, rng, 0, 3);
  mean_loss(task, rng, 3, 24);
  CHECK(mean_loss(task, rng, 27, 3) < 0.7 * before);
}

TEST_CASE("a frozen encoder stays as it is, its top learns when asked to", "[unit]") {
  const bool learns = GENERATE(false, true);
  DuplexTask::Config config = tiny();
  config.train_encoder = learns ? TrainEncoder::kTop : TrainEncoder::kNone;
  ParameterStore store(1);
  DuplexTask task(config, store, mixer(), kPieces, kPieces, {});
  models::TensorMap before;
  for (const auto& [name, tensor] : store.tensors()) before[name] = tensor.clone();
  std::mt19937_64 rng(1);
  mean_loss(task, rng, 0, 1);
  int64_t changed = 0;
  for (const auto& [name, tensor] : store.tensors()) {
    if (!name.starts_with("encoder.") || at::equal(before.at(name), tensor)) continue;
    ++changed;
    for (const char* below : {"encoder.conv", "encoder.layers.", "encoder.norm."})
      CHECK_FALSE(name.starts_with(below));
  }
  CHECK((changed > 0) == learns);
}

TEST_CASE("written dialogues without conversations are refused at once", "[unit]") {
  DuplexTask::Config config = tiny();
  config.written_dialogues = 2;
  ParameterStore store(1);
  CHECK_THROWS_AS(DuplexTask(config, store, mixer(), kPieces, kPieces, {}), core::ConfigError);
}
