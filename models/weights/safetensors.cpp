#include "models/weights/safetensors.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "models/weights/mapped_file.h"
#include "models/weights/tensor_text.h"
#include "runtime/core/atomic_file.h"
#include "runtime/core/error.h"

namespace duet::models {
namespace {

using OrderedJson = nlohmann::ordered_json;
constexpr uint64_t kMaxHeaderBytes = 100'000'000;  // the reference implementation's limit
constexpr size_t kMaxProblemsShown = 8;

struct Entry {
  std::string name;
  at::ScalarType dtype;
  std::vector<int64_t> shape;
  uint64_t begin;
  uint64_t end;
};

constexpr std::array<std::pair<const char*, at::ScalarType>, 10> kTypes = {{{"F64", at::kDouble},
                                                                            {"F32", at::kFloat},
                                                                            {"F16", at::kHalf},
                                                                            {"BF16", at::kBFloat16},
                                                                            {"I64", at::kLong},
                                                                            {"I32", at::kInt},
                                                                            {"I16", at::kShort},
                                                                            {"I8", at::kChar},
                                                                            {"U8", at::kByte},
                                                                            {"BOOL", at::kBool}}};

std::optional<at::ScalarType> type_of(const std::string& name) {
  for (const auto& [text, type] : kTypes)
    if (name == text) return type;
  return std::nullopt;
}

const char* name_of(at::ScalarType type) {
  for (const auto& [text, known] : kTypes)
    if (type == known) return text;
  return nullptr;
}

OrderedJson parse_header(std::string_view text, const std::string& path) {
  const auto fail = [&](const std::string& found) {
    throw core::LoadError({.subject = "safetensors header",
                           .expected = "a JSON object of tensors",
                           .found = found,
                           .file = path,
                           .hint = {}});
  };
  std::vector<std::set<std::string>> open;
  const OrderedJson::parser_callback_t watch = [&](int depth, OrderedJson::parse_event_t event,
                                                   OrderedJson& parsed) {
    if (depth > 4) fail("nesting deeper than 4");
    if (event == OrderedJson::parse_event_t::object_start) open.emplace_back();
    if (event == OrderedJson::parse_event_t::object_end && !open.empty()) open.pop_back();
    if (event == OrderedJson::parse_event_t::key && !open.empty() &&
        !open.back().insert(parsed.get_ref<const std::string&>()).second)
      fail("key \"" + parsed.get<std::string>() + "\" twice");
    return true;
  };
  OrderedJson header;
  try {
    header = OrderedJson::parse(text, watch);
  } catch (const OrderedJson::exception& error) {
    fail(error.what());
  }
  if (!header.is_object()) fail("another kind of JSON");
  return header;
}

// One tensor's entry, or nothing and a problem.
std::optional<Entry> parse_entry(const std::string& name, const OrderedJson& json,
                                 uint64_t data_size, std::vector<std::string>& problems) {
  const auto problem = [&](const std::string& expected, const std::string& found) {
    problems.push_back(name + ": expected " + expected + ", found " + found);
    return std::nullopt;
  };
  if (!json.is_object() || json.size() != 3 || !json.contains("dtype") || !json.contains("shape") ||
      !json.contains("data_offsets"))
    return problem("dtype, shape and data_offsets", json.dump().substr(0, 80));
  const OrderedJson &dtype = json["dtype"], &shape = json["shape"], &offsets = json["data_offsets"];
  const auto type = dtype.is_string() ? type_of(dtype.get<std::string>()) : std::nullopt;
  if (!type)
    return problem("a type of F64 F32 F16 BF16 I64 I32 I16 I8 U8 BOOL", dtype.dump().substr(0, 40));
  if (!offsets.is_array() || offsets.size() != 2 || !offsets[0].is_number_unsigned() ||
      !offsets[1].is_number_unsigned())
    return problem("data_offsets [begin, end]", offsets.dump().substr(0, 80));
  Entry entry{.name = name,
              .dtype = *type,
              .shape = {},
              .begin = offsets[0].get<uint64_t>(),
              .end = offsets[1].get<uint64_t>()};
  uint64_t num_bytes = c10::elementSize(*type);
  bool is_valid = shape.is_array();
  for (const OrderedJson& size : is_valid ? shape : OrderedJson::array()) {
    is_valid = is_valid && size.is_number_unsigned() && size.get<uint64_t>() <= uint64_t{1} << 40;
    if (!is_valid) break;
    const uint64_t value = size.get<uint64_t>();
    if (__builtin_mul_overflow(num_bytes, value, &num_bytes) || num_bytes > uint64_t{1} << 50)
      return problem("a tensor that fits into memory", "shape " + shape.dump());
    entry.shape.push_back(static_cast<int64_t>(value));
  }
  if (!is_valid) return problem("a shape of sizes >= 0", shape.dump().substr(0, 80));
  const std::string range =
      "[" + std::to_string(entry.begin) + ", " + std::to_string(entry.end) + "]";
  if (entry.begin > entry.end || entry.end > data_size)
    return problem("offsets within the " + std::to_string(data_size) + " bytes of data", range);
  if (entry.end - entry.begin != num_bytes)
    return problem(std::to_string(num_bytes) + " bytes for " + dtype.get<std::string>() + " " +
                       shape_text(entry.shape),
                   std::to_string(entry.end - entry.begin) + " at " + range);
  return entry;
}

// The data must be covered exactly once, as the reference implementation demands.
void check_coverage(const std::vector<Entry>& entries, uint64_t data_size,
                    std::vector<std::string>& problems) {
  std::vector<const Entry*> order;
  for (const Entry& entry : entries) order.push_back(&entry);
  std::stable_sort(order.begin(), order.end(), [](const Entry* a, const Entry* b) {
    return std::pair(a->begin, a->end) < std::pair(b->begin, b->end);
  });
  uint64_t covered = 0;
  const Entry* previous = nullptr;
  for (const Entry* entry : order) {
    if (entry->begin < covered)
      problems.push_back(entry->name + ": expected bytes of its own, found an overlap with " +
                         previous->name);
    else if (entry->begin > covered)
      problems.push_back(entry->name + ": expected data from byte " + std::to_string(covered) +
                         ", found a gap up to " + std::to_string(entry->begin));
    if (entry->end >= covered) previous = entry;
    covered = std::max(covered, entry->end);
  }
  if (covered != data_size)
    problems.push_back("data: expected " + std::to_string(covered) +
                       " bytes as in the header, found " + std::to_string(data_size));
}

void throw_problems(const std::vector<std::string>& problems, const std::string& path) {
  if (problems.empty()) return;
  std::string all;
  for (size_t i = 0; i < std::min(problems.size(), kMaxProblemsShown); ++i)
    all += (i ? "; " : "") + problems[i];
  if (problems.size() > kMaxProblemsShown)
    all += "; and " + std::to_string(problems.size() - kMaxProblemsShown) + " more problems";
  throw core::LoadError({.subject = all, .expected = {}, .found = {}, .file = path, .hint = {}});
}

at::Tensor tensor_of(const Entry& entry, char* data, const std::shared_ptr<MappedFile>& file) {
  if (entry.begin == entry.end) return at::empty(entry.shape, entry.dtype);
  char* begin = data + entry.begin;
  if (entry.dtype == at::kBool)
    for (char* byte = begin; byte != data + entry.end; ++byte)
      *byte = static_cast<char>(*byte != 0);
  const bool is_aligned = reinterpret_cast<uintptr_t>(begin) % c10::elementSize(entry.dtype) == 0;
  at::Tensor view = at::from_blob(
      begin, entry.shape, [file](void*) {}, at::TensorOptions().dtype(entry.dtype));
  if (is_aligned) return view;
  at::Tensor copy = at::empty(entry.shape, entry.dtype);
  std::memcpy(copy.data_ptr(), begin, entry.end - entry.begin);
  return copy;
}

}  // namespace

SafetensorsFile read_safetensors(const std::string& path) {
  const auto file = MappedFile::open(path);
  ByteReader reader(file->view(), path);
  const uint64_t header_size = reader.u64("safetensors header length");
  if (header_size > std::min(reader.remaining(), kMaxHeaderBytes))
    throw core::LoadError(
        {.subject = "safetensors header",
         .expected = std::to_string(header_size) + " bytes",
         .found = std::to_string(reader.remaining()) + " bytes after the length field",
         .file = path,
         .hint = "truncated, or not a safetensors file"});
  const OrderedJson header = parse_header(reader.take(header_size, "safetensors header"), path);
  const uint64_t data_size = reader.remaining();

  SafetensorsFile out;
  std::vector<Entry> entries;
  std::vector<std::string> problems;
  uint64_t promised = 0;
  for (const auto& [name, json] : header.items()) {
    if (name == "__metadata__") {
      for (const auto& [key, value] : json.items()) {
        if (value.is_string())
          out.metadata[key] = value.get<std::string>();
        else
          problems.push_back("__metadata__." + key + ": expected a string, found " +
                             value.dump().substr(0, 40));
      }
      continue;
    }
    if (json.is_object() && json.contains("data_offsets") && json["data_offsets"].is_array() &&
        json["data_offsets"].size() == 2 && json["data_offsets"][1].is_number_unsigned())
      promised = std::max(promised, json["data_offsets"][1].get<uint64_t>());
    if (auto entry = parse_entry(name, json, data_size, problems))
      entries.push_back(std::move(*entry));
  }
  if (promised > data_size)
    problems.insert(problems.begin(), "data: expected " + std::to_string(promised) +
                                          " bytes as in the header, found " +
                                          std::to_string(data_size) + " (truncated?)");
  if (problems.empty()) check_coverage(entries, data_size, problems);
  throw_problems(problems, path);

  char* data = file->data() + (file->size() - data_size);
  for (const Entry& entry : entries) out.tensors[entry.name] = tensor_of(entry, data, file);
  for (const auto& [dropped, kept] : out.metadata)
    if (const auto found = out.tensors.find(kept);
        found != out.tensors.end() && !out.tensors.count(dropped))
      out.tensors[dropped] = found->second;
  return out;
}

TensorMap load_safetensors(const std::string& path) { return read_safetensors(path).tensors; }

void save_safetensors(const std::string& path, const TensorMap& tensors,
                      const std::map<std::string, std::string>& metadata) {
  struct Item {
    const std::string* name;
    at::Tensor value;
  };
  std::vector<Item> items;
  std::map<std::string, std::string> notes = metadata;
  std::map<std::tuple<const void*, at::ScalarType, std::vector<int64_t>, std::vector<int64_t>>,
           std::string>
      written;
  for (const auto& [name, tensor] : tensors) {
    if (name_of(tensor.scalar_type()) == nullptr)
      throw core::Error({.subject = name,
                         .expected = "a type safetensors can hold",
                         .found = c10::toString(tensor.scalar_type()),
                         .file = path,
                         .hint = {}});
    if (tensor.numel() > 0) {
      const auto [found, is_new] =
          written.emplace(std::tuple(tensor.data_ptr(), tensor.scalar_type(), tensor.sizes().vec(),
                                     tensor.strides().vec()),
                          name);
      if (!is_new) {
        notes[name] = found->second;
        continue;
      }
    }
    items.push_back({&name, tensor.detach().cpu().contiguous()});
  }
  // Widest types first keeps every tensor aligned to its own size; within a width the map's order.
  std::stable_sort(items.begin(), items.end(), [](const Item& a, const Item& b) {
    return a.value.element_size() > b.value.element_size();
  });

  OrderedJson header = OrderedJson::object();
  if (!notes.empty()) header["__metadata__"] = notes;
  uint64_t offset = 0;
  for (const Item& item : items) {
    const uint64_t end = offset + static_cast<uint64_t>(item.value.nbytes());
    header[*item.name] = {{"dtype", name_of(item.value.scalar_type())},
                          {"shape", item.value.sizes().vec()},
                          {"data_offsets", {offset, end}}};
    offset = end;
  }
  std::string text = header.dump();
  text.append((8 - text.size() % 8) % 8, ' ');
  std::array<char, 8> length = {};
  for (size_t i = 0; i < 8; ++i) length[i] = static_cast<char>(text.size() >> (8 * i) & 0xff);

  core::AtomicFile file(path);
  std::ofstream out(file.temporary_path(), std::ios::binary | std::ios::trunc);
  out.write(length.data(), static_cast<std::streamsize>(length.size()));
  out.write(text.data(), static_cast<std::streamsize>(text.size()));
  for (const Item& item : items)
    out.write(static_cast<const char*>(item.value.data_ptr()),
              static_cast<std::streamsize>(item.value.nbytes()));
  out.close();
  if (!out)
    throw core::LoadError({.subject = "weights",
                           .expected = std::to_string(text.size() + 8 + offset) + " bytes written",
                           .found = std::strerror(errno),
                           .file = path,
                           .hint = {}});
  file.commit();
}

}  // namespace duet::models
