#include "tests/support/streaming_laws.h"

#include <ATen/ATen.h>

#include <catch2/catch.hpp>
#include <random>
#include <sstream>

namespace duet::test {
namespace {

/// Different from x everywhere, of the same size.
at::Tensor garbage_like(const at::Tensor& x) { return at::flip(x, {x.dim() - 1}) * 0.7 + 0.31; }

at::Tensor row(const at::Tensor& x, int64_t b) { return x.narrow(0, b, 1); }

std::vector<int64_t> random_sizes(std::mt19937_64& random, const StreamSubject& subject,
                                  int64_t total) {
  std::vector<int64_t> sizes;
  const int64_t units = total / subject.granularity;
  std::uniform_int_distribution<int64_t> draw(subject.has_empty_step ? 0 : 1,
                                              std::max<int64_t>(1, units / 3));
  for (int64_t done = 0; done < total;) {
    const int64_t size = draw(random) * subject.granularity;
    sizes.push_back(size);
    done += size;
  }
  return sizes;
}

}  // namespace

void expect_close(const at::Tensor& got, const at::Tensor& want, Tolerance tolerance,
                  const std::string& what) {
  INFO(what);
  REQUIRE(got.defined());
  REQUIRE(want.defined());
  REQUIRE(got.sizes().vec() == want.sizes().vec());
  if (want.numel() == 0) return;
  const at::Tensor g = got.detach().to(at::kDouble).reshape({-1}),
                   w = want.detach().to(at::kDouble).reshape({-1});
  const at::Tensor limit = w.abs() * tolerance.relative + tolerance.absolute;
  // NaN compares false with everything: count what is not within the limit, never what exceeds it.
  const at::Tensor bad = ((g - w).abs() <= limit).logical_not();
  const int64_t num_bad = bad.sum().item<int64_t>();
  if (num_bad == 0) {
    CHECK(num_bad == 0);
    return;
  }
  const at::Tensor excess = at::where(
      bad, at::nan_to_num((g - w).abs(), 1e300, 1e300) - limit + 1e-300, at::zeros_like(limit));
  const int64_t worst = excess.argmax().item<int64_t>();
  std::ostringstream where;
  int64_t rest = worst;
  std::vector<int64_t> index(static_cast<size_t>(want.dim()));
  for (int64_t d = want.dim() - 1; d >= 0; --d) {
    index[static_cast<size_t>(d)] = rest % want.size(d);
    rest /= want.size(d);
  }
  for (const int64_t i : index) where << '[' << i << ']';
  const double got_value = g[worst].item<double>(), want_value = w[worst].item<double>();
  INFO("worst at " << where.str() << ": got " << got_value << ", want " << want_value
                   << ", ratio to limit "
                   << std::abs(got_value - want_value) /
                          std::max(limit[worst].item<double>(), 1e-300)
                   << "; " << num_bad << " of " << want.numel() << " out of tolerance");
  CHECK(num_bad == 0);
}

at::Tensor run_steps(const StreamSubject& subject, const at::Tensor& x,
                     const std::vector<int64_t>& sizes, StreamSubject::Any& state,
                     bool with_flush) {
  std::vector<at::Tensor> parts;
  const int64_t total = x.size(subject.input_time_axis);
  int64_t done = 0;
  for (size_t i = 0; done < total; i = (i + 1) % sizes.size()) {
    const int64_t size = std::min(sizes[i], total - done);
    parts.push_back(subject.step(x.narrow(subject.input_time_axis, done, size), state));
    done += size;
  }
  if (with_flush && subject.flush) parts.push_back(subject.flush(state));
  return at::cat(parts, subject.output_time_axis);
}

void check_chunking(const StreamSubject& subject, const at::Tensor& x,
                    const std::vector<int64_t>& sizes, Tolerance tolerance, int num_random,
                    uint64_t seed) {
  at::InferenceMode inference;
  const at::Tensor want = subject.forward(x);
  for (const int64_t size : sizes) {
    auto state = subject.initial_state(x.size(0));
    expect_close(run_steps(subject, x, {size}, state), want, tolerance,
                 "steps of " + std::to_string(size));
  }
  std::mt19937_64 random(seed);
  for (int i = 0; i < num_random; ++i) {
    const auto split = random_sizes(random, subject, x.size(subject.input_time_axis));
    auto state = subject.initial_state(x.size(0));
    expect_close(run_steps(subject, x, split, state), want, tolerance,
                 "random split " + std::to_string(i) + " of seed " + std::to_string(seed));
  }
}

void check_reset(const StreamSubject& subject, const at::Tensor& x, int64_t step_size) {
  at::InferenceMode inference;
  auto fresh = subject.initial_state(x.size(0));
  const at::Tensor want = run_steps(subject, x, {step_size}, fresh).clone();
  auto used = subject.initial_state(x.size(0));
  run_steps(subject, garbage_like(x), {step_size}, used);
  subject.reset(used);
  expect_close(run_steps(subject, x, {step_size}, used), want, kExact, "after reset");
}

void check_clone(const StreamSubject& subject, const at::Tensor& x, int64_t step_size) {
  at::InferenceMode inference;
  const int64_t axis = subject.input_time_axis, total = x.size(axis);
  const int64_t half = std::max<int64_t>(1, total / 2 / step_size) * step_size;
  auto whole = subject.initial_state(x.size(0));
  const at::Tensor first =
      run_steps(subject, x.narrow(axis, 0, half), {step_size}, whole, false).clone();
  const at::Tensor want =
      run_steps(subject, x.narrow(axis, half, total - half), {step_size}, whole).clone();
  auto original = subject.initial_state(x.size(0));
  expect_close(run_steps(subject, x.narrow(axis, 0, half), {step_size}, original, false), first,
               kExact, "same start");
  auto copy = subject.clone(original);
  run_steps(subject, garbage_like(x), {step_size}, original);
  subject.reset(original);
  expect_close(run_steps(subject, x.narrow(axis, half, total - half), {step_size}, copy), want,
               kExact, "the clone");
}

void check_isolation(const StreamSubject& subject, const at::Tensor& x, int64_t step_size) {
  at::InferenceMode inference;
  const at::Tensor other = garbage_like(x);
  auto a = subject.initial_state(x.size(0)), b = subject.initial_state(x.size(0));
  const at::Tensor want_a = run_steps(subject, x, {step_size}, a, false).clone();
  const at::Tensor want_b = run_steps(subject, other, {step_size}, b, false).clone();
  auto c = subject.initial_state(x.size(0)), d = subject.initial_state(x.size(0));
  std::vector<at::Tensor> got_c, got_d;
  const int64_t axis = subject.input_time_axis, total = x.size(axis);
  for (int64_t done = 0; done < total; done += step_size) {
    const int64_t size = std::min(step_size, total - done);
    got_c.push_back(subject.step(x.narrow(axis, done, size), c).clone());
    got_d.push_back(subject.step(other.narrow(axis, done, size), d).clone());
  }
  expect_close(at::cat(got_c, subject.output_time_axis), want_a, kExact,
               "first of two interleaved streams");
  expect_close(at::cat(got_d, subject.output_time_axis), want_b, kExact,
               "second of two interleaved streams");
}

void check_causality(const StreamSubject& subject, const at::Tensor& x, int64_t first_changed,
                     int64_t first_affected) {
  at::InferenceMode inference;
  const int64_t axis = subject.input_time_axis;
  at::Tensor changed = x.clone();
  changed.narrow(axis, first_changed, x.size(axis) - first_changed)
      .copy_(garbage_like(x).narrow(axis, first_changed, x.size(axis) - first_changed));
  const at::Tensor before = subject.forward(x).narrow(subject.output_time_axis, 0, first_affected);
  const at::Tensor after =
      subject.forward(changed).narrow(subject.output_time_axis, 0, first_affected);
  expect_close(after, before, kExact,
               "outputs before " + std::to_string(first_affected) + " with inputs from " +
                   std::to_string(first_changed) + " changed");
}

void check_bounded(const StreamSubject& subject, const at::Tensor& x, int64_t step_size) {
  if (!subject.num_bytes) return;
  at::InferenceMode inference;
  auto state = subject.initial_state(x.size(0));
  const int64_t bytes = subject.num_bytes(state);
  CHECK(bytes > 0);
  const int64_t axis = subject.input_time_axis, total = x.size(axis);
  for (int64_t done = 0; done + step_size <= total; done += step_size) {
    subject.step(x.narrow(axis, done, step_size), state);
    REQUIRE(subject.num_bytes(state) == bytes);
  }
}

void check_batch(const StreamSubject& subject, const at::Tensor& x, int64_t step_size,
                 Tolerance tolerance) {
  at::InferenceMode inference;
  REQUIRE(x.size(0) >= 2);
  auto state = subject.initial_state(x.size(0));
  const at::Tensor all = run_steps(subject, x, {step_size}, state);
  const at::Tensor whole = subject.forward(x);
  for (int64_t b = 0; b < x.size(0); ++b) {
    auto alone = subject.initial_state(1);
    expect_close(row(all, b), run_steps(subject, row(x, b), {step_size}, alone), tolerance,
                 "step, row " + std::to_string(b));
    expect_close(row(whole, b), subject.forward(row(x, b)), tolerance,
                 "forward, row " + std::to_string(b));
  }
}

void check_all_laws(const StreamSubject& subject, const at::Tensor& x,
                    const std::vector<int64_t>& sizes, Tolerance tolerance) {
  check_chunking(subject, x, sizes, tolerance);
  check_reset(subject, x, sizes.front());
  check_clone(subject, x, sizes.front());
  check_isolation(subject, x, sizes.front());
  check_bounded(subject, x, sizes.front());
  check_batch(subject, x, sizes.front(), tolerance);
}

}  // namespace duet::test
