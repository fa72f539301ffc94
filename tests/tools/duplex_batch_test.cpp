#include "tools/train/duplex_batch.h"

#include <ATen/ATen.h>

#include <catch2/catch.hpp>
#include <stdexcept>

using namespace duet::train;

namespace {

// Six slots of two codebooks; a turn from slot 1 to 4: bos, two frames, eos.
Dialogue tiny() {
  Dialogue d;
  d.num_steps = 6;
  d.num_codebooks = 2;
  d.user.assign(6 * 1280, 0.25f);
  d.speaking = {1, 0, 0, 0, 0, 0};
  d.text = {0, 1, 17, 0, 2, 0};
  d.codes = {7, 100, 30, 31, 101, 7,  //
             8, 100, 40, 41, 101, 8};
  return d;
}

BatchConfig tiny_config() {
  BatchConfig config;
  config.codebook_size = 100;  // BOS 100, EOS 101, DELAY 102
  config.silence = {7, 8};
  config.code_noise = 0.0;
  config.silence_share = 1.0;
  config.index_multiple = 1;
  return config;
}

std::vector<int64_t> list(const at::Tensor& t) {
  const at::Tensor flat = t.contiguous();
  return {flat.data_ptr<int64_t>(), flat.data_ptr<int64_t>() + flat.numel()};
}

}  // namespace

TEST_CASE(
    "a step hears text of its slot and codes of the slot before, and decides the next text and its "
    "codes",
    "[unit]") {
  Random random(1);
  const DuplexBatch batch = make_batch({tiny()}, tiny_config(), random);
  CHECK(list(batch.text_in) == std::vector<int64_t>{0, 1, 17, 0, 2, 0});
  CHECK(list(batch.text_out) == std::vector<int64_t>{1, 17, 0, 2, 0, -100});
  CHECK(list(batch.codes_in) ==
        std::vector<int64_t>{102, 7, 100, 30, 31, 101, 102, 8, 100, 40, 41, 101});
  CHECK(list(batch.codes_out) == tiny().codes);
  CHECK(batch.pcm.sizes() == at::IntArrayRef({1, 6 * 1280}));
  const at::Tensor weights = batch.text_weight[0];
  const std::vector<float> want = {1.0f, 1.0f, 0.3f, 1.0f, 0.3f, 0.0f};
  for (int64_t t = 0; t < 6; ++t) CHECK(weights[t].item<float>() == want[static_cast<size_t>(t)]);
  CHECK(list(batch.code_index) == std::vector<int64_t>{0, 1, 2, 3, 4, 5});
  const std::vector<float> code_want = {0.15f, 1, 1, 1, 1, 0.15f};
  for (int64_t i = 0; i < 6; ++i)
    CHECK(batch.code_weight[i].item<float>() == Approx(code_want[static_cast<size_t>(i)]));
}

TEST_CASE("scored positions are padded with weight zero", "[unit]") {
  BatchConfig config = tiny_config();
  config.index_multiple = 4;
  Random random(1);
  const DuplexBatch batch = make_batch({tiny()}, config, random);
  CHECK(list(batch.code_index) == std::vector<int64_t>{0, 1, 2, 3, 4, 5, 0, 0});
  CHECK(batch.code_weight[6].item<float>() == 0.0f);
  CHECK(batch.code_weight[7].item<float>() == 0.0f);
}

TEST_CASE("leaving out silent slots keeps the expected weight", "[unit]") {
  Dialogue d = tiny();
  d.num_steps = 4000;
  d.user.assign(4000 * 1280, 0.0f);
  d.speaking.assign(4000, 0.0f);
  d.text.assign(4000, 0);
  d.codes.assign(4000, 7);
  d.codes.resize(8000, 8);
  BatchConfig config = tiny_config();
  config.silence_share = 0.25;
  Random random(4);
  const DuplexBatch batch = make_batch({d}, config, random);
  CHECK(batch.code_index.numel() < 1200);
  CHECK(batch.code_weight.sum().item<double>() == Approx(0.15 * 4000).epsilon(0.1));
}

TEST_CASE("code noise spares silence, control ids and what is to be said", "[unit]") {
  BatchConfig config = tiny_config();
  config.code_noise = 1.0;
  Random random(2);
  const DuplexBatch batch = make_batch({tiny()}, config, random);
  const std::vector<int64_t> heard = list(batch.codes_in);
  CHECK(heard[0] == 102);
  CHECK(heard[1] == 7);
  CHECK(heard[2] == 100);
  CHECK(heard[5] == 101);
  CHECK((heard[3] != 30 || heard[4] != 31 || heard[9] != 40 || heard[10] != 41));
  CHECK(heard[3] < 100);
  CHECK(list(batch.codes_out) == tiny().codes);
}

TEST_CASE("the stream gives dialogues in order from any index, and passes errors on", "[unit]") {
  const auto make = [](uint64_t index) {
    if (index == 12) throw std::runtime_error("no more");
    Dialogue d = tiny();
    d.text[3] = static_cast<int64_t>(index);
    return d;
  };
  DialogueStream stream(make, 5, 3);
  for (int64_t i = 5; i < 12; ++i) {
    CHECK(stream.next_index() == static_cast<uint64_t>(i));
    CHECK(stream.next().text[3] == i);
  }
  CHECK_THROWS_WITH(stream.next(), "no more");
  DialogueStream unused(make, 0, 2);  // destroyed while its thread waits for room
}
