#include "models/nn/rel_attention.h"

#include <ATen/ATen.h>

#include <cmath>
#include <limits>
#include <vector>

#include "runtime/core/error.h"

namespace duet::models::nn {
namespace {

/// Queries of `forward` handled at once: bounds the memory of the scores at [B, H, 256, 256 +
/// left].
constexpr int64_t kBlockFrames = 256;

}  // namespace

at::Tensor relative_positions(const ChunkContext& context, int64_t width) {
  const at::Tensor distance =
      at::arange(-(context.chunk - 1), context.left + context.chunk, at::kFloat).unsqueeze(1);
  const at::Tensor rate = at::exp(at::arange(0, width, 2, at::kFloat) *
                                  (-std::log(10000.0) / static_cast<double>(width)));
  const at::Tensor angle = distance * rate;
  return at::stack({at::sin(angle), at::cos(angle)}, 2).reshape({distance.size(0), width});
}

at::Tensor relative_index(const ChunkContext& context, int64_t num_queries, int64_t num_keys) {
  const at::Tensor query = at::arange(num_keys - num_queries, num_keys, at::kLong).unsqueeze(1);
  const at::Tensor distance = query - at::arange(num_keys, at::kLong).unsqueeze(0);
  return distance.clamp(-(context.chunk - 1), context.left + context.chunk - 1) +
         (context.chunk - 1);
}

at::Tensor chunk_mask(const ChunkContext& context, int64_t num_queries, int64_t num_keys) {
  const auto chunk_of = [&](const at::Tensor& frame) {
    return at::div(frame, context.chunk, "floor");
  };
  const at::Tensor behind =
      chunk_of(at::arange(num_keys - num_queries, num_keys, at::kLong)).unsqueeze(1) -
      chunk_of(at::arange(num_keys, at::kLong)).unsqueeze(0);
  return at::logical_and(behind >= 0, behind <= context.left / context.chunk);
}

RelativeAttention::State RelativeAttention::State::clone() const {
  State copy;
  copy.keys = keys.clone();
  copy.values = values.clone();
  copy.distances = distances;
  copy.begin = begin;
  copy.end = end;
  return copy;
}

int64_t RelativeAttention::State::num_bytes() const {
  return static_cast<int64_t>(keys.nbytes() + values.nbytes() + distances.nbytes());
}

RelativeAttention::RelativeAttention(const Config& config, const WeightScope& weights,
                                     const at::Tensor& pos_bias_u, const at::Tensor& pos_bias_v)
    : config_(config),
      head_width_(config.width / config.num_heads),
      query_(config.width, config.width, weights.sub("linear_q"), config.has_bias),
      key_(config.width, config.width, weights.sub("linear_k"), config.has_bias),
      value_(config.width, config.width, weights.sub("linear_v"), config.has_bias),
      out_(config.width, config.width, weights.sub("linear_out"), config.has_bias),
      position_(weights.sub("linear_pos").parameter("weight", {config.width, config.width})),
      bias_u_(pos_bias_u),
      bias_v_(pos_bias_v) {
  DUET_CHECK(config.width % config.num_heads == 0);
  DUET_CHECK(config.context.left % config.context.chunk == 0);
  if (!bias_u_.defined())
    bias_u_ = weights.parameter("pos_bias_u", {config.num_heads, head_width_}, Init::zeros());
  if (!bias_v_.defined())
    bias_v_ = weights.parameter("pos_bias_v", {config.num_heads, head_width_}, Init::zeros());
}

/// [B, T, D] -> [B, H, T, d].
at::Tensor RelativeAttention::heads(const at::Tensor& x) const {
  return x.view({x.size(0), x.size(1), config_.num_heads, head_width_}).transpose(1, 2);
}

/// [H, R, d].
at::Tensor RelativeAttention::distances() const {
  const at::Tensor table =
      relative_positions(config_.context, config_.width).to(position_.options());
  return at::linear(table, position_)
      .view({-1, config_.num_heads, head_width_})
      .transpose(0, 1)
      .contiguous();
}

/// q [B, H, Tq, d], k and v [B, H, Tk, d] -> [B, Tq, D]; the keys end with the queries and start at
/// a chunk border.
at::Tensor RelativeAttention::attend(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                     const at::Tensor& positions) const {
  const int64_t num_queries = q.size(2), num_keys = k.size(2);
  const at::Tensor content = at::matmul(q + bias_u_.unsqueeze(1), k.transpose(2, 3));
  const at::Tensor by_distance = at::matmul(q + bias_v_.unsqueeze(1), positions.transpose(1, 2));
  const at::Tensor index = relative_index(config_.context, num_queries, num_keys)
                               .expand({q.size(0), config_.num_heads, num_queries, num_keys});
  at::Tensor scores =
      (content + by_distance.gather(3, index)) / std::sqrt(static_cast<double>(head_width_));
  // One chunk whose past is what the cache holds sees everything.
  const bool is_one_chunk = num_queries <= config_.context.chunk &&
                            num_keys <= config_.context.left + config_.context.chunk;
  if (!is_one_chunk)
    scores = scores.masked_fill(chunk_mask(config_.context, num_queries, num_keys).logical_not(),
                                -std::numeric_limits<float>::infinity());
  const at::Tensor context = at::matmul(at::softmax(scores, -1), v);
  return out_.forward(context.transpose(1, 2).reshape({q.size(0), num_queries, config_.width}));
}

at::Tensor RelativeAttention::forward(const at::Tensor& x) const {
  const at::Tensor q = heads(query_.forward(x)), k = heads(key_.forward(x)),
                   v = heads(value_.forward(x));
  const at::Tensor positions = distances();
  const int64_t total = x.size(1), chunk = config_.context.chunk;
  const int64_t block = (kBlockFrames + chunk - 1) / chunk * chunk;
  std::vector<at::Tensor> parts;
  for (int64_t start = 0; start < total; start += block) {
    const int64_t count = std::min(block, total - start);
    const int64_t first_key = std::max<int64_t>(0, start - config_.context.left);
    const int64_t num_keys = start + count - first_key;
    parts.push_back(attend(q.narrow(2, start, count), k.narrow(2, first_key, num_keys),
                           v.narrow(2, first_key, num_keys), positions));
  }
  return parts.size() == 1 ? parts.front() : at::cat(parts, 1);
}

RelativeAttention::State RelativeAttention::initial_state(int64_t batch) const {
  State state;
  // Room for half the context again: the past is moved to the front once in left / 2 frames.
  const int64_t capacity = config_.context.left + config_.context.left / 2 + kMaxStepFrames;
  state.keys = at::zeros({batch, config_.num_heads, capacity, head_width_}, position_.options());
  state.values = at::zeros_like(state.keys);
  state.distances = distances();
  return state;
}

void RelativeAttention::reset(State& state) const {
  // Frames outside begin .. end are never read, so their values need not change.
  state.begin = state.end = 0;
}

at::Tensor RelativeAttention::step(const at::Tensor& x, State& state) const {
  const int64_t count = x.size(1);
  DUET_CHECK(count <= kMaxStepFrames);
  const int64_t kept = std::min(state.end - state.begin, config_.context.left);
  state.begin = state.end - kept;
  if (state.end + count > state.keys.size(2)) {
    for (at::Tensor* buffer : {&state.keys, &state.values})
      buffer->narrow(2, 0, kept).copy_(buffer->narrow(2, state.begin, kept).clone());
    state.begin = 0;
    state.end = kept;
  }
  state.keys.narrow(2, state.end, count).copy_(heads(key_.forward(x)));
  state.values.narrow(2, state.end, count).copy_(heads(value_.forward(x)));
  state.end += count;
  return attend(heads(query_.forward(x)), state.keys.narrow(2, state.begin, kept + count),
                state.values.narrow(2, state.begin, kept + count), state.distances);
}

}  // namespace duet::models::nn
