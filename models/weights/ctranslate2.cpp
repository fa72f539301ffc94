#include "models/weights/ctranslate2.h"

#include <ATen/ATen.h>

#include <cstring>

#include "models/weights/mapped_file.h"
#include "models/weights/tensor_text.h"
#include "runtime/core/error.h"

namespace duet::models {
namespace {

constexpr uint32_t kMinVersion = 4, kMaxVersion = 6;

std::string read_string(ByteReader& reader, const char* what) {
  std::string text(reader.take(reader.u16(what), what));
  if (!text.empty() && text.back() == '\0') text.pop_back();
  if (text.find('\0') != std::string::npos) reader.fail(what, "text", "a string with zero bytes");
  return text;
}

at::ScalarType read_type(ByteReader& reader, const std::string& name) {
  const uint8_t id = reader.u8("variable type");
  switch (id) {
    case 0: return at::kFloat;
    case 1: return at::kChar;
    case 2: return at::kShort;
    case 3: return at::kInt;
    case 4: return at::kHalf;
    case 5: return at::kBFloat16;
    default: reader.fail(name, "a type from 0 to 5", std::to_string(id));
  }
}

at::Tensor read_variable(ByteReader& reader, const std::string& name) {
  const uint8_t rank = reader.u8("variable rank");
  if (rank > 8) reader.fail(name, "a rank up to 8", std::to_string(rank));
  std::vector<int64_t> shape;
  uint64_t numel = 1;
  for (uint8_t i = 0; i < rank; ++i) {
    shape.push_back(reader.u32("variable size"));
    if (__builtin_mul_overflow(numel, static_cast<uint64_t>(shape.back()), &numel) ||
        numel > uint64_t{1} << 40)
      reader.fail(name, "a tensor that fits into memory", shape_text(shape));
  }
  const at::ScalarType type = read_type(reader, name);
  const uint64_t num_bytes = reader.u32("variable bytes");
  if (num_bytes != numel * c10::elementSize(type))
    reader.fail(name,
                std::to_string(numel * c10::elementSize(type)) + " bytes for " + shape_text(shape),
                std::to_string(num_bytes));
  const std::string_view data = reader.take(num_bytes, name.c_str());
  at::Tensor tensor =
      at::empty(shape, type);  // a copy: names of odd length leave the data unaligned
  if (!data.empty()) std::memcpy(tensor.data_ptr(), data.data(), data.size());
  return tensor;
}

void dequantise(TensorMap& tensors, const std::string& path) {
  const std::string suffix = "_scale";
  std::vector<std::string> scales;
  for (auto& [name, tensor] : tensors) {
    if (tensor.scalar_type() != at::kChar && tensor.scalar_type() != at::kShort) continue;
    const auto scale = tensors.find(name + suffix);
    if (scale == tensors.end()) continue;
    const at::Tensor value = scale->second.to(at::kFloat).flatten();
    if (value.numel() != 1 && (tensor.dim() == 0 || value.numel() != tensor.size(0)))
      throw core::LoadError({.subject = name + suffix,
                             .expected = "one scale, or one for each row of " + name,
                             .found = shape_text(scale->second.sizes()),
                             .file = path,
                             .hint = {}});
    std::vector<int64_t> column(static_cast<size_t>(std::max<int64_t>(tensor.dim(), 1)), 1);
    column[0] = value.numel();
    tensor =
        tensor.to(at::kFloat) / (value.numel() == 1 ? value.reshape({}) : value.reshape(column));
    scales.push_back(scale->first);
  }
  for (const std::string& name : scales) tensors.erase(name);
}

}  // namespace

CTranslate2File read_ctranslate2(const std::string& path) {
  const auto file = MappedFile::open(path);
  ByteReader reader(file->view(), path);
  const uint32_t version = reader.u32("CTranslate2 binary version");
  if (version < kMinVersion || version > kMaxVersion)
    reader.fail("CTranslate2 binary version",
                std::to_string(kMinVersion) + " to " + std::to_string(kMaxVersion),
                std::to_string(version));
  CTranslate2File out;
  out.specification = read_string(reader, "specification name");
  out.revision = reader.u32("specification revision");
  const uint32_t num_variables = reader.u32("number of variables");
  for (uint32_t i = 0; i < num_variables; ++i) {
    const std::string name = read_string(reader, "variable name");
    if (!out.tensors.emplace(name, read_variable(reader, name)).second)
      reader.fail(name, "each variable once", "the name again");
  }
  const uint32_t num_aliases = reader.u32("number of aliases");
  for (uint32_t i = 0; i < num_aliases; ++i) {
    const std::string alias = read_string(reader, "alias name");
    const std::string target = read_string(reader, "alias target");
    const auto found = out.tensors.find(target);
    if (found == out.tensors.end())
      reader.fail("alias " + alias, "a variable of this file", "\"" + target + "\"");
    if (!out.tensors.emplace(alias, found->second).second)
      reader.fail("alias " + alias, "a new name", "the name again");
  }
  if (reader.remaining() != 0)
    reader.fail("end of file", "nothing after the aliases",
                std::to_string(reader.remaining()) + " bytes");
  dequantise(out.tensors, path);
  return out;
}

}  // namespace duet::models
