#include "models/nn/fused.h"

#include <ATen/ATen.h>
#include <ATen/autocast_mode.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/version.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "models/nn/fused_kernels.h"

namespace duet::models::nn {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

bool can_fuse(const at::Tensor& x) {
  return x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16;
}

kernels::Rows rows(const at::Tensor& x) {
  if (!x.defined()) return {};
  return {x.data_ptr(), x.scalar_type() == at::kBFloat16};
}

/// Forward without a graph: {sum, y, r}; sum is x itself without a delta.
struct NormResult {
  at::Tensor sum, y, r;
};

NormResult norm_forward(const at::Tensor& x_any, const at::Tensor& delta_any,
                        const at::Tensor& weight, double epsilon, at::ScalarType out) {
  const at::Tensor x = x_any.contiguous();
  const at::Tensor delta = delta_any.defined() ? delta_any.contiguous() : delta_any;
  const int64_t width = x.size(-1), count = x.numel() / width;
  NormResult result;
  result.sum = delta.defined() ? at::empty_like(x) : x;
  result.y = at::empty(x.sizes(), x.options().dtype(out));
  result.r = at::empty({count}, x.options());
  kernels::add_rms_norm(rows(x), rows(delta), weight.data_ptr<float>(), epsilon, count, width,
                        rows(result.sum), rows(result.y), result.r.data_ptr<float>());
  return result;
}

struct NormGradient {
  at::Tensor dx, dweight;
};

NormGradient norm_backward(const at::Tensor& s, const at::Tensor& weight, const at::Tensor& r,
                           const at::Tensor& dy_any, const at::Tensor& dsum_any) {
  const at::Tensor dy = dy_any.contiguous();
  const at::Tensor dsum = dsum_any.defined() ? dsum_any.to(at::kFloat).contiguous() : dsum_any;
  const int64_t width = s.size(-1), count = s.numel() / width;
  NormGradient gradient{at::empty_like(s), at::zeros_like(weight)};
  kernels::add_rms_norm_backward(rows(s), weight.data_ptr<float>(), r.data_ptr<float>(), rows(dy),
                                 rows(dsum), count, width, rows(gradient.dx),
                                 gradient.dweight.data_ptr<float>());
  return gradient;
}

struct Norm : torch::autograd::Function<Norm> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            double epsilon, int64_t out) {
    const NormResult result =
        norm_forward(x, {}, weight, epsilon, static_cast<at::ScalarType>(out));
    context->save_for_backward({result.sum, weight, result.r});
    return result.y;
  }
  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const variable_list saved = context->get_saved_variables();
    const NormGradient g = norm_backward(saved[0], saved[1], saved[2], gradients[0], {});
    return {g.dx, g.dweight, {}, {}};
  }
};

struct AddNorm : torch::autograd::Function<AddNorm> {
  static variable_list forward(AutogradContext* context, const at::Tensor& x,
                               const at::Tensor& delta, const at::Tensor& weight, double epsilon,
                               int64_t out) {
    const NormResult result =
        norm_forward(x, delta, weight, epsilon, static_cast<at::ScalarType>(out));
    context->save_for_backward({result.sum, weight, result.r});
    context->set_materialize_grads(false);
    context->saved_data["delta"] = static_cast<int64_t>(delta.scalar_type());
    return {result.sum, result.y};
  }
  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const variable_list saved = context->get_saved_variables();
    const auto delta = static_cast<at::ScalarType>(context->saved_data["delta"].toInt());
    if (!gradients[1].defined()) return {gradients[0], gradients[0].to(delta), {}, {}, {}};
    const NormGradient g = norm_backward(saved[0], saved[1], saved[2], gradients[1], gradients[0]);
    return {g.dx, g.dx.to(delta), g.dweight, {}, {}};
  }
};

at::Tensor swiglu_forward(const at::Tensor& gate, const at::Tensor& up) {
  at::Tensor y = at::empty_like(gate);
  kernels::swiglu(rows(gate), rows(up), gate.numel(), rows(y));
  return y;
}

struct SwiGlu : torch::autograd::Function<SwiGlu> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& gate,
                            const at::Tensor& up) {
    context->save_for_backward({gate, up});
    return swiglu_forward(gate, up);
  }
  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor dy = gradients[0].contiguous();
    variable_list result = {at::empty_like(saved[0]), at::empty_like(saved[1])};
    kernels::swiglu_backward(rows(saved[0]), rows(saved[1]), rows(dy), dy.numel(), rows(result[0]),
                             rows(result[1]));
    return result;
  }
};

const float* values(const at::Tensor& angles) {
  return angles.defined() && angles.numel() > 0 ? angles.data_ptr<float>() : nullptr;
}

at::Tensor split_forward(const at::Tensor& x_any, int64_t heads, int64_t repeat,
                         const at::Tensor& cos, const at::Tensor& sin) {
  const at::Tensor x = x_any.contiguous();
  const int64_t batch = x.size(0), time = x.size(1), d = x.size(2) / heads, half = d / 2;
  at::Tensor y = at::empty({batch, heads * repeat, time, d}, x.options());
  const float* c = values(cos);
  const float* s = values(sin);
  const size_t row_bytes = static_cast<size_t>(d) * x.element_size();
  for (int64_t b = 0; b < batch; ++b)
    for (int64_t h = 0; h < heads; ++h)
      for (int64_t t = 0; t < time; ++t) {
        const kernels::Rows from = kernels::at_row(rows(x), ((b * time + t) * heads + h) * d);
        const kernels::Rows to =
            kernels::at_row(rows(y), ((b * heads + h) * repeat * time + t) * d);
        if (c != nullptr)
          kernels::rotate_row(from, c + t * half, s + t * half, d, to);
        else
          std::memcpy(to.data, from.data, row_bytes);
        for (int64_t i = 1; i < repeat; ++i)
          std::memcpy(kernels::at_row(to, i * time * d).data, to.data, row_bytes);
      }
  return y;
}

at::Tensor split_backward(const at::Tensor& dy_any, int64_t heads, int64_t repeat,
                          const at::Tensor& cos, const at::Tensor& sin) {
  const at::Tensor dy =
      dy_any.stride(3) == 1 ? dy_any : dy_any.contiguous();  // kernels leave [B, T, H, d] in memory
  const int64_t batch = dy.size(0), time = dy.size(2), d = dy.size(3), half = d / 2;
  at::Tensor dx = at::empty({batch, time, heads * d}, dy.options());
  const float* c = values(cos);
  const float* s = values(sin);
  std::vector<float> sum(static_cast<size_t>(d));
  for (int64_t b = 0; b < batch; ++b)
    for (int64_t t = 0; t < time; ++t)
      for (int64_t h = 0; h < heads; ++h) {
        std::fill(sum.begin(), sum.end(), 0.0F);
        for (int64_t i = 0; i < repeat; ++i) {
          const int64_t offset =
              b * dy.stride(0) + (h * repeat + i) * dy.stride(1) + t * dy.stride(2);
          kernels::unrotate_add_row(kernels::at_row(rows(dy), offset),
                                    c == nullptr ? c : c + t * half,
                                    s == nullptr ? s : s + t * half, d, sum.data());
        }
        kernels::store_row(sum.data(), d,
                           kernels::at_row(rows(dx), ((b * time + t) * heads + h) * d));
      }
  return dx;
}

struct SplitHeads : torch::autograd::Function<SplitHeads> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, int64_t heads,
                            int64_t repeat, const at::Tensor& cos, const at::Tensor& sin) {
    context->saved_data["heads"] = heads;
    context->saved_data["repeat"] = repeat;
    context->save_for_backward({cos, sin});
    return split_forward(x, heads, repeat, cos, sin);
  }
  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const variable_list saved = context->get_saved_variables();
    return {split_backward(gradients[0], context->saved_data["heads"].toInt(),
                           context->saved_data["repeat"].toInt(), saved[0], saved[1]),
            {},
            {},
            {},
            {}};
  }
};

bool needs_graph(const at::Tensor& a, const at::Tensor& b) {
  return c10::GradMode::is_enabled() &&
         ((a.defined() && a.requires_grad()) || (b.defined() && b.requires_grad()));
}

}  // namespace

at::ScalarType product_dtype(const at::Tensor& x) {
#if TORCH_VERSION_MAJOR >= 2
  const bool is_on = at::autocast::is_autocast_enabled(at::kCPU);
#else
  const bool is_on = at::autocast::is_cpu_enabled();
#endif
  return is_on ? at::kBFloat16 : x.scalar_type();
}

bool is_fp32_without_graph(const at::Tensor& x) {
  return x.scalar_type() == at::kFloat && product_dtype(x) == at::kFloat && !needs_graph(x, {});
}

std::pair<at::Tensor, at::Tensor> add_rms_norm(const at::Tensor& x, const at::Tensor& delta,
                                               const at::Tensor& weight, double epsilon) {
  if (x.scalar_type() != at::kFloat || weight.scalar_type() != at::kFloat ||
      (delta.defined() && !can_fuse(delta))) {
    // A model in bf16 throughout rounds after every operation, as its reference does.
    const at::Tensor sum = delta.defined() ? x + delta : x;
    const at::Tensor wide = sum.to(at::kFloat);
    const at::Tensor scale = at::rsqrt(wide.pow(2).mean(-1, /*keepdim=*/true) + epsilon);
    return {sum, (wide * scale).to(sum.scalar_type()) * weight};
  }
  const at::ScalarType out = product_dtype(x);
  if (needs_graph(x, delta) || needs_graph(weight, {})) {
    if (!delta.defined()) return {x, Norm::apply(x, weight, epsilon, static_cast<int64_t>(out))};
    const variable_list result =
        AddNorm::apply(x, delta, weight, epsilon, static_cast<int64_t>(out));
    return {result[0], result[1]};
  }
  const NormResult result = norm_forward(x, delta, weight, epsilon, out);
  return {result.sum, result.y};
}

at::Tensor swiglu(const at::Tensor& gate, const at::Tensor& up) {
  if (!can_fuse(gate) || gate.scalar_type() != up.scalar_type()) return at::silu(gate) * up;
  const at::Tensor g = gate.contiguous(), u = up.contiguous();
  return needs_graph(g, u) ? SwiGlu::apply(g, u) : swiglu_forward(g, u);
}

at::Tensor split_heads(const at::Tensor& x, int64_t heads, int64_t repeat,
                       const Rope::Angles& angles) {
  if (needs_graph(x, {})) {
    const at::Tensor none = at::empty({0});  // the graph takes no undefined tensors
    return SplitHeads::apply(x, heads, repeat, angles.cos.defined() ? angles.cos : none,
                             angles.sin.defined() ? angles.sin : none);
  }
  return split_forward(x, heads, repeat, angles.cos, angles.sin);
}

}  // namespace duet::models::nn
