#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <catch2/catch.hpp>
#include <cmath>
#include <filesystem>
#include <fstream>

#include "runtime/core/cancel.h"
#include "runtime/core/error.h"
#include "tools/train/adamw.h"
#include "tools/train/encoder_task.h"
#include "tools/train/parameter_store.h"
#include "tools/train/recipe.h"
#include "tools/train/train_loop.h"

using namespace duet;
using namespace duet::train;

namespace {

// Fits y = W x + b to random data; all randomness from the loop's generator.
class LineTask : public TrainTask {
 public:
  explicit LineTask(ParameterStore& store)
      : weight_(store.parameter("w", {3, 4}, models::Init::fan_in())),
        bias_(store.parameter("b", {3}, models::Init::zeros())) {
    AdamW::Config config;
    config.learning_rate = 0.05;
    optimizer_ = std::make_unique<AdamW>(config, store);
  }
  std::string name() const override { return "line"; }
  Metrics step(const StepContext& context, std::mt19937_64& rng) override {
    if (context.step == stop_at) core::request_interrupt();
    std::vector<float> values(32);
    for (float& value : values)
      value = static_cast<float>(static_cast<double>(rng() % 2001) / 1000.0 - 1.0);
    const at::Tensor x = at::from_blob(values.data(), {8, 4}).clone();
    const at::Tensor target = x.narrow(1, 0, 3) * 2.0 + 0.5;
    const at::Tensor loss = (at::linear(x, weight_, bias_) - target).pow(2).mean();
    optimizer_->zero_grad();
    loss.backward();
    optimizer_->step(context.lr_factor);
    return {{"loss", loss.item<double>()}};
  }
  void save(models::TensorMap& out) const override { optimizer_->save(out, "optimizer."); }
  void load(const models::TensorMap& in) override { optimizer_->load(in, "optimizer."); }
  int64_t stop_at = -1;

 private:
  at::Tensor weight_, bias_;
  std::unique_ptr<AdamW> optimizer_;
};

std::string fresh_folder(const char* name) {
  const auto path = std::filesystem::temp_directory_path() / (std::string("duet_") + name);
  std::filesystem::remove_all(path);
  return path.string();
}

}  // namespace

TEST_CASE("the store hands out leaves, takes values from a source, ties by name", "[unit]") {
  models::TensorMap initial;
  initial["a"] = at::full({2}, 3.0F);
  initial["bad"] = at::zeros({5});
  ParameterStore store(1, initial, "init.safetensors");
  const at::Tensor a = store.parameter("a", {2}, models::Init::zeros());
  const at::Tensor b = store.parameter("b", {4, 100}, models::Init::fan_in());
  CHECK(store.parameter("a", {2}, models::Init::zeros()).is_same(a));
  CHECK(a.requires_grad());
  CHECK(at::equal(a.detach(), at::full({2}, 3.0F)));
  CHECK(b.detach().std().item<double>() == Approx(0.1).epsilon(0.15));
  CHECK(store.parameters().size() == 2);
  CHECK(store.num_initialised_from_source() == 1);
  store.parameter("bad", {4}, models::Init::zeros());
  CHECK_THROWS_WITH(store.finish(), "bad: expected [4], found [5] in init.safetensors");
}

TEST_CASE("AdamW takes the step of its definition, by hand", "[unit]") {
  ParameterStore store(1);
  const at::Tensor p = store.parameter("p", {1, 2}, models::Init::constant(1.0));
  AdamW::Config config;
  config.learning_rate = 0.1;
  config.weight_decay = 0.5;
  config.clip_norm = 0.0;
  AdamW optimizer(config, store);
  (p * at::tensor({2.0F, -4.0F})).sum().backward();
  CHECK(optimizer.step(1.0) == Approx(std::sqrt(20.0)));
  // First step: m/(1-b1) = g, v/(1-b2) = g^2, so the move is lr * sign(g), after decay 1 - 0.1 *
  // 0.5.
  CHECK(p.detach()[0][0].item<double>() == Approx(0.95 - 0.1));
  CHECK(p.detach()[0][1].item<double>() == Approx(0.95 + 0.1));
  p.mutable_grad() = at::full({1, 2}, std::numeric_limits<float>::infinity());
  optimizer.step(1.0);
  CHECK(optimizer.num_skipped() == 1);
  CHECK(p.detach()[0][0].item<double>() == Approx(0.85));
}

TEST_CASE("a run interrupted and resumed equals an uninterrupted one bit by bit", "[property]") {
  LoopConfig config;
  config.max_steps = 40;
  config.warmup_steps = 5;
  config.log_every = 7;
  config.out_dir = fresh_folder("whole");
  ParameterStore whole(5);
  LineTask whole_task(whole);
  CHECK(run_training(whole_task, whole, config) == LoopEnd::kFinished);

  config.out_dir = fresh_folder("parts");
  {
    ParameterStore first(5);
    LineTask task(first);
    task.stop_at = 16;
    CHECK(run_training(task, first, config) == LoopEnd::kInterrupted);
    CHECK_FALSE(at::equal(first.tensors().at("w"), whole.tensors().at("w")));
  }
  ParameterStore second(99);  // another start: everything must come from the checkpoint
  LineTask task(second);
  CHECK(run_training(task, second, config) == LoopEnd::kFinished);
  CHECK(at::equal(second.tensors().at("w"), whole.tensors().at("w")));
  CHECK(at::equal(second.tensors().at("b"), whole.tensors().at("b")));
  CHECK(std::filesystem::file_size(config.out_dir + "/metrics.jsonl") > 0);
}

TEST_CASE("a checkpoint of another configuration is refused with the tensor's name", "[unit]") {
  LoopConfig config;
  config.max_steps = 2;
  config.out_dir = fresh_folder("other");
  ParameterStore store(5);
  LineTask task(store);
  run_training(task, store, config);
  ParameterStore other(5);
  other.parameter("extra", {2}, models::Init::zeros());
  LineTask other_task(other);
  CHECK_THROWS_WITH(run_training(other_task, other, config),
                    Catch::Contains("extra: expected [2], found nothing"));
}

TEST_CASE("the schedule warms up, then falls to its floor", "[unit]") {
  CHECK(schedule(0, 0.0, 10, 0.1) == Approx(0.1));
  CHECK(schedule(100, 0.5, 10, 0.1) == Approx(0.1 + 0.9 * 0.5));
  CHECK(schedule(100, 1.0, 10, 0.1) == Approx(0.1));
}

TEST_CASE("budgets are times with a unit", "[unit]") {
  CHECK(parse_minutes("150m") == 150.0);
  CHECK(parse_minutes("2h") == 120.0);
  CHECK(parse_minutes("90s") == 1.5);
  CHECK_THROWS_WITH(parse_minutes("150"),
                    "budget: expected a time such as 90s, 150m or 2h, found \"150\"");
}

TEST_CASE("transcripts: letters and apostrophes, single spaces", "[unit]") {
  CHECK(normalise_transcript("What's  \"7\" plus-five?") == "what's plus five");
  CHECK(normalise_transcript("...") == "");
}

TEST_CASE("greedy CTC merges repeats and drops blanks", "[unit]") {
  const at::Tensor path = at::tensor({3, 0, 0, 3, 0, 1, 1, 2, 3}, at::kLong);  // 3 is the blank
  const at::Tensor logits = at::zeros({9, 4}).scatter_(1, path.unsqueeze(1), 1.0);
  CHECK(ctc_greedy(logits) == std::vector<int>{0, 0, 1, 2});
}

TEST_CASE("word errors count substitutions, insertions and deletions", "[unit]") {
  CHECK(word_errors("a b c d", "a x c") == std::pair<int64_t, int64_t>{2, 4});
  CHECK(word_errors("a b", "a b b") == std::pair<int64_t, int64_t>{1, 2});
  CHECK(word_errors("", "a") == std::pair<int64_t, int64_t>{1, 0});
}
