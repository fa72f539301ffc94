#include "tools/train/train_loop.h"

#include <ATen/ATen.h>

#include <chrono>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "models/weights/safetensors.h"
#include "runtime/core/cancel.h"
#include "runtime/core/error.h"
#include "runtime/core/progress_bar.h"

namespace duet::train {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// The generator's state as text in a byte tensor: mt19937_64 is only specified through its stream
// operators.
at::Tensor pack(const std::mt19937_64& rng) {
  std::ostringstream out;
  out << rng;
  const std::string text = out.str();
  at::Tensor bytes = at::empty({static_cast<int64_t>(text.size())}, at::kByte);
  std::copy(text.begin(), text.end(), bytes.data_ptr<uint8_t>());
  return bytes;
}

void unpack(const at::Tensor& bytes, std::mt19937_64& rng) {
  const uint8_t* data = bytes.data_ptr<uint8_t>();
  std::istringstream in(std::string(data, data + bytes.numel()));
  in >> rng;
}

struct Progress {
  int64_t step = 0;
  double elapsed_seconds = 0.0;
};

void save_checkpoint(const std::string& path, const TrainTask& task, const ParameterStore& store,
                     const std::mt19937_64& rng, const Progress& progress) {
  models::TensorMap out;
  for (auto& [name, tensor] : store.tensors()) out["model." + name] = tensor;
  task.save(out);
  out["loop.rng"] = pack(rng);
  out["loop.step"] = at::full({1}, progress.step, at::kLong);
  out["loop.elapsed_seconds"] = at::full({1}, progress.elapsed_seconds, at::kFloat);
  models::save_safetensors(path, out, {{"format", "duet-train-1"}, {"task", task.name()}});
}

bool load_checkpoint(const std::string& path, TrainTask& task, ParameterStore& store,
                     std::mt19937_64& rng, Progress& progress) {
  if (!std::filesystem::exists(path)) return false;
  const models::TensorMap in = models::load_safetensors(path);
  models::TensorMap model;
  for (const auto& [name, tensor] : in)
    if (name.starts_with("model.")) model[name.substr(6)] = tensor;
  store.assign(model, path);
  task.load(in);
  for (const char* needed : {"loop.rng", "loop.step", "loop.elapsed_seconds"})
    if (!in.count(needed))
      throw core::LoadError({.subject = needed,
                             .expected = "a training checkpoint",
                             .found = "no such entry",
                             .file = path,
                             .hint = "delete the file to start anew"});
  unpack(in.at("loop.rng"), rng);
  progress.step = in.at("loop.step").item<int64_t>();
  progress.elapsed_seconds = in.at("loop.elapsed_seconds").item<float>();
  return true;
}

std::string show(const Metrics& metrics) {
  std::string text;
  for (const auto& [key, value] : metrics) {
    char item[64];
    std::snprintf(item, sizeof item, "%s%s %.4g", text.empty() ? "" : "  ", key.c_str(), value);
    text += item;
  }
  return text;
}

}  // namespace

double schedule(int64_t step, double progress, int64_t warmup_steps, double final_lr_ratio) {
  const double warm =
      warmup_steps > 0
          ? std::min(1.0, static_cast<double>(step + 1) / static_cast<double>(warmup_steps))
          : 1.0;
  const double cosine = 0.5 * (1.0 + std::cos(M_PI * std::min(1.0, progress)));
  return warm * (final_lr_ratio + (1.0 - final_lr_ratio) * cosine);
}

LoopEnd run_training(TrainTask& task, ParameterStore& store, const LoopConfig& config) {
  std::filesystem::create_directories(config.out_dir);
  const std::string checkpoint = config.out_dir + "/checkpoint.safetensors";
  std::mt19937_64 rng(config.seed);
  Progress progress;
  if (config.resume && load_checkpoint(checkpoint, task, store, rng, progress))
    std::fprintf(stderr, "resuming %s at step %lld\n", checkpoint.c_str(),
                 static_cast<long long>(progress.step));
  std::ofstream log(config.out_dir + "/metrics.jsonl", std::ios::app);
  const double budget_seconds = config.budget_minutes * 60.0, before = progress.elapsed_seconds;
  const Clock::time_point start = Clock::now();
  double last_save = before;
  int64_t last_evaluation = -1;
  Metrics sums;
  int64_t summed = 0;

  const auto planned = [&] {
    const double by_steps = static_cast<double>(progress.step) /
                            static_cast<double>(std::max<int64_t>(1, config.max_steps));
    const double by_clock = budget_seconds > 0 ? progress.elapsed_seconds / budget_seconds : 0.0;
    return std::max(by_steps, by_clock);
  };
  const core::InterruptScope interrupt_scope;
  constexpr int64_t kBarUnits = 10000;  // the plan may follow the clock: the bar counts parts of it
  core::ProgressBar bar(task.name(),
                        {.total = kBarUnits, .start = static_cast<int64_t>(planned() * kBarUnits)});
  const auto record = [&](const char* kind, const Metrics& metrics) {
    nlohmann::json line = {
        {"kind", kind}, {"step", progress.step}, {"elapsed_s", progress.elapsed_seconds}};
    for (const auto& [key, value] : metrics) line[key] = value;
    log << line.dump() << std::endl;
  };
  const auto evaluate = [&] {
    const Metrics metrics = task.evaluate();
    last_evaluation = progress.step;
    if (metrics.empty()) return;
    record("eval", metrics);
    bar.message(task.name() + "  step " + std::to_string(progress.step) +
                "  eval: " + show(metrics));
  };

  LoopEnd end = LoopEnd::kFinished;
  while (planned() < 1.0) {
    if (core::interrupted()) {
      end = LoopEnd::kInterrupted;
      break;
    }
    const double done = planned();
    const StepContext context{
        progress.step, done,
        schedule(progress.step, done, config.warmup_steps, config.final_lr_ratio)};
    const Metrics metrics = task.step(context, rng);
    ++progress.step;
    progress.elapsed_seconds = before + seconds_since(start);
    for (const auto& [key, value] : metrics) sums[key] += value;
    if (++summed == config.log_every) {
      for (auto& [key, value] : sums) value /= static_cast<double>(summed);
      sums["lr_factor"] = context.lr_factor;
      record("train", sums);
      bar.update(static_cast<int64_t>(std::min(1.0, planned()) * kBarUnits),
                 "step " + std::to_string(progress.step) + "  " + show(sums));
      sums.clear();
      summed = 0;
    }
    if (progress.elapsed_seconds - last_save > config.save_every_minutes * 60.0) {
      save_checkpoint(checkpoint, task, store, rng, progress);
      last_save = progress.elapsed_seconds;
    }
    if (config.evaluate_every > 0 && progress.step % config.evaluate_every == 0) evaluate();
  }
  if (end == LoopEnd::kInterrupted) bar.message("interrupted: saving " + checkpoint);
  save_checkpoint(checkpoint, task, store, rng, progress);
  bar.finish();
  if (end == LoopEnd::kFinished && last_evaluation != progress.step) evaluate();
  return end;
}

}  // namespace duet::train
