// The laws themselves: they hold for a correct module and each catches the fault it is named after.
#include "tests/support/streaming_laws.h"

#include <ATen/ATen.h>

#include <catch2/catch.hpp>

#include "runtime/core/move_only.h"

using namespace duet;

namespace {

/// y[t] = x[t] + x[t-1], x [B, T].
struct Pairwise {
  struct State : core::MoveOnly {
    at::Tensor previous;
    State clone() const {
      State copy;
      copy.previous = previous.clone();
      return copy;
    }
    int64_t num_bytes() const { return static_cast<int64_t>(previous.nbytes()); }
  };
  State initial_state(int64_t batch) const {
    State state;
    state.previous = at::zeros({batch, 1});
    return state;
  }
  void reset(State& state) const { state.previous.zero_(); }
  at::Tensor forward(const at::Tensor& x) const {
    auto state = initial_state(x.size(0));
    return step(x, state);
  }
  at::Tensor step(const at::Tensor& x, State& state) const {
    const at::Tensor joined = at::cat({state.previous, x}, 1);
    state.previous.copy_(x.narrow(1, x.size(1) - 1, 1));
    return joined.narrow(1, 0, x.size(1)) + x;
  }
};

}  // namespace

TEST_CASE("the laws hold for a correct module", "[property]") {
  const Pairwise module;
  const auto subject = test::make_subject(module);
  const at::Tensor x = at::arange(60, at::kFloat).reshape({2, 30}).sin();
  test::check_all_laws(subject, x, {1, 4, 7});
  test::check_causality(subject, x, 12, 12);
}

TEST_CASE("a broken module gives different streams", "[property]") {
  // What check_chunking compares, with the carry lost: the outputs at the borders must differ.
  const Pairwise module;
  auto subject = test::make_subject(module);
  const at::Tensor x = at::arange(60, at::kFloat).reshape({2, 30}).sin();
  auto state = subject.initial_state(2);
  auto step = subject.step;
  subject.step = [&](const at::Tensor& part, test::StreamSubject::Any& s) {
    subject.reset(s);
    return step(part, s);
  };
  const at::Tensor got = test::run_steps(subject, x, {5}, state);
  const at::Tensor wrong = (got - subject.forward(x)).abs().gt(1e-6).nonzero();
  CHECK(wrong.select(1, 1).fmod(5).eq(0).all().item<bool>());
  CHECK(wrong.size(0) == 10);
}
