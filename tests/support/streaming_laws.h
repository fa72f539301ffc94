#pragma once
// The laws every streaming module obeys (chunking, reset, clone, isolation, causality, bounded,
// batch), checked with Catch2 assertions on any module that has forward, step, initial_state, reset
// and a state with clone().
//
//   auto subject = test::make_subject(conv, {.granularity = 2});
//   test::check_all_laws(subject, at::randn({3, 4, 96}));

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace duet::test {

/// Limit of |got - want|: absolute + relative * |want|. 0, 0 asks for bit-equality.
struct Tolerance {
  double absolute = 0.0;
  double relative = 0.0;
};
constexpr Tolerance kExact{};
constexpr Tolerance kStreamTolerance{1e-5, 1e-5};  ///< fp32, the same sums in another order.

/// CHECKs shape and values; a failure prints the worst index, got, want and the ratio to the limit.
void expect_close(const at::Tensor& got, const at::Tensor& want, Tolerance tolerance,
                  const std::string& what = "");

/// A module behind type erasure. `Any` holds the module's State.
struct StreamSubject {
  using Any = std::shared_ptr<void>;
  std::function<at::Tensor(const at::Tensor&)> forward;
  std::function<Any(int64_t batch)> initial_state;
  std::function<at::Tensor(const at::Tensor&, Any&)> step;
  std::function<at::Tensor(Any&)> flush;  ///< May be empty.
  std::function<void(Any&)> reset;
  std::function<Any(const Any&)> clone;
  std::function<int64_t(const Any&)> num_bytes;  ///< May be empty: the bounded law is then skipped.
  int64_t input_time_axis = -1;
  int64_t output_time_axis = -1;
  int64_t granularity = 1;      ///< Steps take multiples of this many inputs.
  bool has_empty_step = false;  ///< Steps of 0 inputs are allowed too.
};

struct SubjectOptions {
  int64_t input_time_axis = -1;
  int64_t output_time_axis = -1;
  int64_t granularity = 1;
  bool has_empty_step = false;
};

namespace internal {
template <class T>
struct IsUniquePtr : std::false_type {};
template <class T>
struct IsUniquePtr<std::unique_ptr<T>> : std::true_type {};
template <class T>
decltype(auto) state_of(const std::shared_ptr<void>& any) {
  if constexpr (IsUniquePtr<T>::value)
    return **static_cast<T*>(any.get());
  else
    return *static_cast<T*>(any.get());
}
}  // namespace internal

/// Wraps a module; it must outlive the subject. `flush` and `num_bytes` are used when the module /
/// state has them.
template <class Module>
StreamSubject make_subject(const Module& module, SubjectOptions options = {}) {
  using Held = decltype(module.initial_state(1));
  using Any = StreamSubject::Any;
  using State = std::remove_reference_t<decltype(internal::state_of<Held>(std::declval<Any>()))>;
  StreamSubject subject;
  subject.forward = [&module](const at::Tensor& x) { return module.forward(x); };
  subject.initial_state = [&module](int64_t batch) -> Any {
    return std::make_shared<Held>(module.initial_state(batch));
  };
  subject.step = [&module](const at::Tensor& x, Any& s) {
    return module.step(x, internal::state_of<Held>(s));
  };
  subject.reset = [&module](Any& s) { module.reset(internal::state_of<Held>(s)); };
  subject.clone = [](const Any& s) -> Any {
    return std::make_shared<Held>(internal::state_of<Held>(s).clone());
  };
  if constexpr (requires(State & s) { module.flush(s); })
    subject.flush = [&module](Any& s) { return module.flush(internal::state_of<Held>(s)); };
  if constexpr (requires(const State& s) { s.num_bytes(); })
    subject.num_bytes = [](const Any& s) {
      return static_cast<int64_t>(internal::state_of<Held>(s).num_bytes());
    };
  subject.input_time_axis = options.input_time_axis;
  subject.output_time_axis = options.output_time_axis;
  subject.granularity = options.granularity;
  subject.has_empty_step = options.has_empty_step;
  return subject;
}

/// Steps of `sizes` (repeated) over x with `state`, outputs joined; `with_flush` appends flush.
at::Tensor run_steps(const StreamSubject& subject, const at::Tensor& x,
                     const std::vector<int64_t>& sizes, StreamSubject::Any& state,
                     bool with_flush = true);

/// Any split equals forward: the given sizes, each repeated over x, and `num_random` random splits.
void check_chunking(const StreamSubject& subject, const at::Tensor& x,
                    const std::vector<int64_t>& sizes, Tolerance tolerance = kStreamTolerance,
                    int num_random = 3, uint64_t seed = 1);
/// A reset state continues exactly like a fresh one.
void check_reset(const StreamSubject& subject, const at::Tensor& x, int64_t step_size);
/// A clone goes on exactly as if nothing happened while the original is scribbled over.
void check_clone(const StreamSubject& subject, const at::Tensor& x, int64_t step_size);
/// Two interleaved streams give exactly what each gives alone.
void check_isolation(const StreamSubject& subject, const at::Tensor& x, int64_t step_size);
/// Changing inputs from `first_changed` on leaves outputs before `first_affected` bit-identical, in
/// forward.
void check_causality(const StreamSubject& subject, const at::Tensor& x, int64_t first_changed,
                     int64_t first_affected);
/// The state's size never changes.
void check_bounded(const StreamSubject& subject, const at::Tensor& x, int64_t step_size);
/// Row b of a batch equals a batch of one.
void check_batch(const StreamSubject& subject, const at::Tensor& x, int64_t step_size,
                 Tolerance tolerance = kStreamTolerance);
/// All of the above except causality (which needs the module's numbers). x has batch >= 2 in axis
/// 0.
void check_all_laws(const StreamSubject& subject, const at::Tensor& x,
                    const std::vector<int64_t>& sizes, Tolerance tolerance = kStreamTolerance);

}  // namespace duet::test
