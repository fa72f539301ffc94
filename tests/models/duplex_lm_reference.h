#pragma once
// The duplex LM once more, by definition: double precision, plain loops, the whole past recomputed
// for every step.

#include <ATen/ATen.h>

#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "models/duplex_lm.h"

namespace duet::test {

class SlowDuplexLm {
 public:
  using Vector = std::vector<double>;

  SlowDuplexLm(const models::DuplexLmConfig& config,
               const std::map<std::string, at::Tensor>& tensors)
      : config_(config) {
    for (const auto& [name, tensor] : tensors) {
      const at::Tensor wide = tensor.to(at::kDouble).contiguous();
      data_[name] = Vector(wide.data_ptr<double>(), wide.data_ptr<double>() + wide.numel());
    }
  }

  /// Which past positions the query at t may see, and at which rotary distance; -1: not at all.
  double distance(int64_t t, int64_t j) const {
    const auto& c = config_.llm;
    if (j > t) return -1;
    if (c.window == 0) return static_cast<double>(t - j);
    if (j < c.sinks) return static_cast<double>(std::min(t, c.window - 1) - j);
    return t - j < c.window - c.sinks || t < c.window ? static_cast<double>(t - j) : -1;
  }

  /// Hidden vectors after the last norm of the sequence user [T, U], text [T], codes [K, T].
  std::vector<Vector> hidden(const at::Tensor& user, const at::Tensor& text,
                             const at::Tensor& codes) const {
    const auto& c = config_.llm;
    const int64_t time = text.size(0);
    std::vector<Vector> x;
    for (int64_t t = 0; t < time; ++t) {
      Vector u;
      for (int64_t i = 0; i < user.size(1); ++i) u.push_back(user[t][i].item<double>());
      if (config_.user_width > 0) {
        u = linear("adapter.0", u, true);
        for (double& value : u) value = 0.5 * value * (1.0 + std::erf(value / std::sqrt(2.0)));
        u = linear("adapter.2", u, true);
      }
      for (int64_t i = 0; i < c.hidden; ++i) {
        double value = config_.user_channel_weight * u[i];
        value += data_.at("embed_tokens.weight")[text[t].item<int64_t>() * c.hidden + i];
        for (int64_t k = 0; k < config_.num_codebooks; ++k)
          value += data_.at("embed_audio_tokens." + std::to_string(k) +
                            ".weight")[codes[k][t].item<int64_t>() * c.hidden + i];
        u[i] = value;
      }
      x.push_back(u);
    }
    for (int64_t l = 0; l < c.layers; ++l) layer("llm.layers." + std::to_string(l) + ".", x);
    for (Vector& row : x) row = norm("llm.norm.weight", row);
    return x;
  }

  Vector text_logits(const Vector& h) const {
    return linear(config_.tie_text ? "embed_tokens" : "lm_head", h, false);
  }
  Vector audio_logits(const Vector& h) const {
    if (!config_.tie_audio) return linear("audio_head", h, true);
    Vector all;
    for (int64_t k = 0; k < config_.num_codebooks; ++k)
      for (const double value : linear("embed_audio_tokens." + std::to_string(k), h, false))
        all.push_back(value);
    for (size_t i = 0; i < all.size(); ++i) all[i] += data_.at("audio_head.bias")[i];
    return all;
  }

 private:
  Vector linear(const std::string& name, const Vector& x, bool bias) const {
    const Vector& w = data_.at(name + ".weight");
    Vector y(w.size() / x.size());
    for (size_t o = 0; o < y.size(); ++o) {
      y[o] = bias ? data_.at(name + ".bias")[o] : 0.0;
      for (size_t i = 0; i < x.size(); ++i) y[o] += w[o * x.size() + i] * x[i];
    }
    return y;
  }

  Vector norm(const std::string& name, const Vector& x) const {
    double sum = 0;
    for (const double value : x) sum += value * value;
    Vector y(x.size());
    for (size_t i = 0; i < x.size(); ++i)
      y[i] = x[i] / std::sqrt(sum / static_cast<double>(x.size()) + config_.llm.rms_eps) *
             data_.at(name)[i];
    return y;
  }

  /// One head's vector rotated to a position (of any sign).
  Vector rotated(const Vector& x, int64_t head, double position) const {
    const int64_t d = config_.llm.head_dim, half = d / 2;
    Vector y(d);
    for (int64_t i = 0; i < half; ++i) {
      const double angle =
          position *
          std::pow(config_.llm.rope_theta, -2.0 * static_cast<double>(i) / static_cast<double>(d));
      const double a = x[head * d + i], b = x[head * d + half + i];
      y[i] = a * std::cos(angle) - b * std::sin(angle);
      y[half + i] = b * std::cos(angle) + a * std::sin(angle);
    }
    return y;
  }

  void layer(const std::string& name, std::vector<Vector>& x) const {
    const auto& c = config_.llm;
    const int64_t time = static_cast<int64_t>(x.size()), d = c.head_dim;
    std::vector<Vector> q, k, v, out = x;
    for (const Vector& row : x) {
      const Vector h = norm(name + "input_layernorm.weight", row);
      q.push_back(linear(name + "self_attn.q_proj", h, c.attention_bias));
      k.push_back(linear(name + "self_attn.k_proj", h, c.attention_bias));
      v.push_back(linear(name + "self_attn.v_proj", h, c.attention_bias));
    }
    for (int64_t t = 0; t < time; ++t) {
      Vector mixed(c.heads * d, 0.0);
      for (int64_t head = 0; head < c.heads; ++head) {
        const int64_t kv = head / (c.heads / c.kv_heads);
        Vector weights(t + 1, 0.0);
        double total = 0;
        const Vector key_frame = rotated(q[t], head, 0.0);
        for (int64_t j = 0; j <= t; ++j) {
          const double gap = distance(t, j);
          if (gap < 0) continue;
          const Vector key = rotated(k[j], kv, -gap);
          double score = 0;
          for (int64_t i = 0; i < d; ++i) score += key_frame[i] * key[i];
          total += weights[j] = std::exp(score / std::sqrt(static_cast<double>(d)));
        }
        for (int64_t j = 0; j <= t; ++j)
          for (int64_t i = 0; i < d; ++i)
            mixed[head * d + i] += weights[j] / total * v[j][kv * d + i];
      }
      const Vector attended = linear(name + "self_attn.o_proj", mixed, false);
      for (int64_t i = 0; i < c.hidden; ++i) out[t][i] += attended[i];
      const Vector h = norm(name + "post_attention_layernorm.weight", out[t]);
      Vector gate = linear(name + "mlp.gate_proj", h, false);
      const Vector up = linear(name + "mlp.up_proj", h, false);
      for (size_t i = 0; i < gate.size(); ++i)
        gate[i] = gate[i] / (1.0 + std::exp(-gate[i])) * up[i];
      const Vector down = linear(name + "mlp.down_proj", gate, false);
      for (int64_t i = 0; i < c.hidden; ++i) out[t][i] += down[i];
    }
    x = out;
  }

  models::DuplexLmConfig config_;
  std::map<std::string, Vector> data_;
};

}  // namespace duet::test
