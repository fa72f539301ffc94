// The bundled model's real weights: `./check full`.

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "audio/audio_file.h"
#include "audio/resampler.h"
#include "runtime/engine/torch_engine.h"

using namespace duet;

namespace {

constexpr std::size_t kBlock = 1280;

const runtime::Engine& bundled() {
  static const auto engine = engine::load_engine(DUET_SOURCE_DIR "/configs/models/coffee-bar");
  return *engine;
}

/// The first channel of a demo recording at 16 kHz, then silence, in blocks.
std::vector<std::vector<float>> blocks_of(const std::string& file, double silence_s) {
  const auto clip = audio::load_audio_file(std::string(DUET_SOURCE_DIR "/tests/data/demo/") + file);
  std::vector<float> all = audio::resample(clip.samples, clip.rate_hz, 16000);
  all.resize((all.size() / kBlock + 1) * kBlock +
             static_cast<std::size_t>(silence_s * 12.5) * kBlock);
  std::vector<std::vector<float>> blocks;
  for (std::size_t at = 0; at + kBlock <= all.size(); at += kBlock)
    blocks.emplace_back(all.begin() + static_cast<std::ptrdiff_t>(at),
                        all.begin() + static_cast<std::ptrdiff_t>(at + kBlock));
  return blocks;
}

}  // namespace

TEST_CASE("bundled model: answers a spoken sum in one turn and falls silent", "[.real]") {
  const auto session = bundled().make_session({});
  runtime::StepOutput out;
  std::string said;
  int begun = 0, ended = 0;
  float last_peak = 0.0F;
  for (const auto& block : blocks_of("sum.ogg", 8.0)) {
    session->step(block, out);
    said += out.agent_text;
    begun += out.agent_turn_started;
    ended += out.agent_turn_ended;
    last_peak = 0.0F;
    for (const float x : out.pcm) last_peak = std::max(last_peak, std::abs(x));
  }
  INFO(said);
  CHECK(begun == 1);
  CHECK(ended == 1);
  CHECK(said.size() > 5);
  CHECK(last_peak < 0.01F);
}

TEST_CASE("bundled model: says nothing in a minute of silence", "[.real]") {
  const auto session = bundled().make_session({});
  const std::vector<float> silence(kBlock, 0.0F);
  runtime::StepOutput out;
  int begun = 0;
  for (int t = 0; t < 750; ++t) {
    session->step(silence, out);
    begun += out.agent_turn_started;
  }
  CHECK(begun == 0);
}

TEST_CASE("bundled model: conversations stepped together say what each says alone", "[.real]") {
  const std::vector<std::vector<std::vector<float>>> inputs = {
      blocks_of("sum.ogg", 6.0), blocks_of("capital.ogg", 6.0), blocks_of("order-human.ogg", 6.0)};
  std::vector<std::vector<std::vector<int>>> alone(inputs.size()), together(inputs.size());
  std::size_t shortest = inputs[0].size();
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const auto session = bundled().make_session({});
    runtime::StepOutput out;
    for (const auto& block : inputs[i]) {
      session->step(block, out);
      alone[i].push_back(out.codes);
    }
    shortest = std::min(shortest, inputs[i].size());
  }
  std::vector<std::unique_ptr<runtime::Session>> sessions;
  std::vector<runtime::StepOutput> out(inputs.size());
  for (std::size_t i = 0; i < inputs.size(); ++i) sessions.push_back(bundled().make_session({}));
  for (std::size_t t = 0; t < shortest; ++t) {
    std::vector<runtime::StepJob> jobs;
    for (std::size_t i = 0; i < inputs.size(); ++i)
      jobs.push_back({sessions[i].get(), inputs[i][t], &out[i], {}});
    bundled().step_together(jobs);
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      REQUIRE(jobs[i].error.empty());
      together[i].push_back(out[i].codes);
    }
  }
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    alone[i].resize(shortest);
    CHECK(alone[i] == together[i]);
  }
}
