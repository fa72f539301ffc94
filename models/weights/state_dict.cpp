#include "models/weights/state_dict.h"

#include <ATen/core/Tensor.h>

#include <array>
#include <cmath>
#include <map>

#include "models/weights/tensor_text.h"
#include "runtime/core/error.h"

namespace duet::models {
namespace {

[[noreturn]] void fail_state(const std::string& subject, const std::string& expected,
                             const std::string& found, const std::string& source) {
  throw core::LoadError(
      {.subject = subject, .expected = expected, .found = found, .file = source, .hint = {}});
}

// "X" when name is "X" + suffix.
std::string stem(const std::string& name, const std::string& suffix) {
  return name.ends_with(suffix) ? name.substr(0, name.size() - suffix.size()) : std::string();
}

at::Tensor folded(const std::string& name, const at::Tensor& g, const at::Tensor& v,
                  const std::string& source) {
  if (v.dim() < 2 || g.dim() < 1 || g.numel() != v.size(0) || g.size(0) != v.size(0))
    fail_state(name, "weight norm with one g for each row of v " + shape_text(v.sizes()),
               shape_text(g.sizes()), source);
  std::vector<int64_t> column(static_cast<size_t>(v.dim()), 1);
  column[0] = v.size(0);
  const at::Tensor direction = v.to(at::kFloat);
  const at::Tensor norm = direction.flatten(1).norm(2, {1}).reshape(column);
  return direction.mul(g.to(at::kFloat).reshape(column)).div(norm);
}

}  // namespace

void fold_weight_norm(TensorMap& tensors, const std::string& source) {
  constexpr std::array<std::pair<const char*, const char*>, 2> kSpellings = {
      {{".weight_g", ".weight_v"},
       {".parametrizations.weight.original0", ".parametrizations.weight.original1"}}};
  TensorMap made;
  for (const auto& [g_suffix, v_suffix] : kSpellings) {
    std::map<std::string, int> stems;  // 1: has g, 2: has v
    for (const auto& entry : tensors) {
      if (const std::string x = stem(entry.first, g_suffix); !x.empty()) stems[x] |= 1;
      if (const std::string x = stem(entry.first, v_suffix); !x.empty()) stems[x] |= 2;
    }
    for (const auto& [x, halves] : stems) {
      if (halves != 3)
        fail_state(x + (halves == 1 ? v_suffix : g_suffix), "the other half of a weight norm",
                   "nothing", source);
      const auto g = tensors.find(x + g_suffix), v = tensors.find(x + v_suffix);
      if (tensors.count(x + ".weight") || made.count(x + ".weight"))
        fail_state(x + ".weight", "one spelling of the weight", "two", source);
      made[x + ".weight"] = folded(x, g->second, v->second, source);
      tensors.erase(g);
      tensors.erase(v);
    }
  }
  tensors.merge(made);
}

void merge_lora(TensorMap& tensors, const LoraConfig& config, const std::string& source) {
  const std::string base_suffix = ".base_layer.weight", a_suffix = ".lora_A.default.weight",
                    b_suffix = ".lora_B.default.weight", bias_suffix = ".base_layer.bias";
  TensorMap out;
  for (const auto& [name, tensor] : tensors) {
    std::string key = name;
    at::Tensor value = tensor;
    if (const std::string x = stem(name, base_suffix); !x.empty()) {
      const auto a = tensors.find(x + a_suffix), b = tensors.find(x + b_suffix);
      if (a == tensors.end() || b == tensors.end())
        fail_state(x + (a == tensors.end() ? a_suffix : b_suffix), "the adapter of " + name,
                   "nothing", source);
      const at::Tensor &down = a->second, &up = b->second;
      if (tensor.dim() != 2 || down.dim() != 2 || up.dim() != 2 || down.size(0) != up.size(1) ||
          down.size(0) == 0 || down.size(1) != tensor.size(1) || up.size(0) != tensor.size(0))
        fail_state(x + ".lora", "A [r,in] and B [out,r] for " + shape_text(tensor.sizes()),
                   shape_text(down.sizes()) + " and " + shape_text(up.sizes()), source);
      const double rank = static_cast<double>(down.size(0));
      const double scale = config.alpha / (config.use_rslora ? std::sqrt(rank) : rank);
      value = tensor.to(at::kFloat).add(up.to(at::kFloat).matmul(down.to(at::kFloat)), scale);
      key = x + ".weight";
    } else if (const std::string y = stem(name, bias_suffix); !y.empty()) {
      key = y + ".bias";
    } else if (name.ends_with(a_suffix) || name.ends_with(b_suffix)) {
      const std::string z = stem(name, name.ends_with(a_suffix) ? a_suffix : b_suffix);
      if (!tensors.count(z + base_suffix))
        fail_state(z + base_suffix, "the weight this adapter belongs to", "nothing", source);
      continue;
    } else if (name.find(".lora_") != std::string::npos) {
      fail_state(name, "LoRA on linear layers under the name default", "another adapter", source);
    }
    const std::string prefix = "llm.base_model.model.";
    if (key.starts_with(prefix)) key = "llm." + key.substr(prefix.size());
    if (!out.emplace(key, value).second)
      fail_state(key, "one tensor of that name", "two after merging", source);
  }
  tensors = std::move(out);
}

TensorMap rename_prefixes(const TensorMap& tensors,
                          const std::vector<std::pair<std::string, std::string>>& rules,
                          bool drop_others) {
  TensorMap out;
  for (const auto& [name, tensor] : tensors) {
    bool is_renamed = false;
    for (const auto& [from, to] : rules) {
      is_renamed = name.starts_with(from);
      if (!is_renamed) continue;
      out[to + name.substr(from.size())] = tensor;
      break;
    }
    if (!is_renamed && !drop_others) out[name] = tensor;
  }
  return out;
}

TensorMap duplex_names_of_codec(const TensorMap& tensors) {
  return rename_prefixes(tensors,
                         {{"audio_encoder.", "audio_codec.audio_encoder."},
                          {"audio_decoder.", "audio_codec.audio_decoder."},
                          {"vector_quantizer.", "audio_codec.vector_quantizer."}},
                         true);
}

TensorMap duplex_names_of_asr(const TensorMap& tensors) {
  return rename_prefixes(
      tensors, {{"encoder.", "perception.encoder."}, {"preprocessor.", "perception.preprocessor."}},
      true);
}

}  // namespace duet::models
