#include "models/weights/torch_checkpoint.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <optional>
#include <unordered_map>

#include "models/weights/archive.h"
#include "models/weights/mapped_file.h"
#include "models/weights/tensor_text.h"
#include "runtime/core/error.h"

namespace duet::models {
namespace {

struct Value;
using ValuePtr = std::shared_ptr<Value>;

struct Value {
  enum class Kind {
    kNone,
    kMark,
    kInt,
    kFloat,
    kString,
    kTuple,
    kList,
    kDict,
    kGlobal,
    kStorage,
    kTensor
  };
  Kind kind = Kind::kNone;
  int64_t integer = 0;
  double real = 0.0;
  std::string text;             // strings; globals as "module.name"
  std::vector<ValuePtr> items;  // tuples and lists; dictionaries as key, value, key, value
  at::Tensor tensor;            // tensors; storages as a flat tensor
  int depth =
      0;  // levels below, so that no file can build what would overflow the stack when freed
};
using Kind = Value::Kind;

ValuePtr make(Kind kind) {
  auto value = std::make_shared<Value>();
  value->kind = kind;
  return value;
}

constexpr std::pair<const char*, at::ScalarType> kStorages[] = {
    {"torch.FloatStorage", at::kFloat},       {"torch.HalfStorage", at::kHalf},
    {"torch.BFloat16Storage", at::kBFloat16}, {"torch.DoubleStorage", at::kDouble},
    {"torch.LongStorage", at::kLong},         {"torch.IntStorage", at::kInt},
    {"torch.ShortStorage", at::kShort},       {"torch.CharStorage", at::kChar},
    {"torch.ByteStorage", at::kByte},         {"torch.BoolStorage", at::kBool}};

std::optional<at::ScalarType> storage_type(const std::string& global) {
  for (const auto& [name, type] : kStorages)
    if (global == name) return type;
  return std::nullopt;
}

class PickleMachine {
 public:
  PickleMachine(std::string_view program, const Archive& archive, std::string folder)
      : reader_(program, archive.file + " (data.pkl)"),
        archive_(archive),
        folder_(std::move(folder)) {}

  ValuePtr run() {
    for (;;) {
      const char opcode = static_cast<char>(reader_.u8("pickle opcode"));
      if (opcode == '.') return pop();
      execute(opcode);
    }
  }

 private:
  [[noreturn]] void fail(const std::string& expected, const std::string& found) const {
    reader_.fail("pickle", expected, found);
  }

  ValuePtr pop() {
    if (stack_.empty()) fail("a value on the stack", "none");
    ValuePtr value = std::move(stack_.back());
    stack_.pop_back();
    return value;
  }
  ValuePtr pop(Kind kind, const char* expected) {
    ValuePtr value = pop();
    if (value->kind != kind) fail(expected, "another kind of value");
    return value;
  }
  ValuePtr& top(Kind kind, const char* expected) {
    if (stack_.empty() || stack_.back()->kind != kind) fail(expected, "another kind of value");
    return stack_.back();
  }
  std::vector<ValuePtr> pop_to_mark() {
    size_t begin = stack_.size();
    while (begin > 0 && stack_[begin - 1]->kind != Kind::kMark) --begin;
    if (begin == 0) fail("a mark on the stack", "none");
    std::vector<ValuePtr> items(stack_.begin() + static_cast<std::ptrdiff_t>(begin), stack_.end());
    stack_.resize(begin - 1);
    return items;
  }
  void push(ValuePtr value) {
    if (stack_.size() > 10'000'000) fail("at most ten million values", "more");
    stack_.push_back(std::move(value));
  }
  void push_int(int64_t integer) {
    ValuePtr value = make(Kind::kInt);
    value->integer = integer;
    push(std::move(value));
  }
  void push_string(std::string_view text) {
    ValuePtr value = make(Kind::kString);
    value->text = std::string(text);
    push(std::move(value));
  }
  void push_tuple(size_t count) {
    std::vector<ValuePtr> items(count);
    while (count > 0) items[--count] = pop();
    ValuePtr value = make(Kind::kTuple);
    add(*value, items);
    push(std::move(value));
  }
  void add(Value& container, const std::vector<ValuePtr>& items) const {
    for (const ValuePtr& item : items) container.depth = std::max(container.depth, item->depth + 1);
    if (container.depth > 100) fail("at most 100 levels", "more");
    container.items.insert(container.items.end(), items.begin(), items.end());
  }
  void push_global(const std::string& name) {
    const bool is_known = name == "collections.OrderedDict" ||
                          name == "torch._utils._rebuild_tensor_v2" ||
                          name == "torch._utils._rebuild_parameter" || storage_type(name);
    if (!is_known)
      fail("only tensors and dictionaries", "the global " + name + ", which is not executed");
    ValuePtr value = make(Kind::kGlobal);
    value->text = name;
    push(std::move(value));
  }
  void remember(uint64_t index) {
    if (stack_.empty()) fail("a value to remember", "none");
    memo_[index] = stack_.back();
  }
  void recall(uint64_t index) {
    const auto found = memo_.find(index);
    if (found == memo_.end()) fail("a remembered value", "index " + std::to_string(index));
    push(found->second);
  }
  std::string line() {
    std::string text;
    for (char c; (c = static_cast<char>(reader_.u8("pickle text"))) != '\n';) text += c;
    return text;
  }
  int64_t long_integer(uint64_t size) {
    if (size > 8) fail("integers of 64 bits", std::to_string(8 * size) + " bits");
    const std::string_view bytes = reader_.take(size, "pickle integer");
    uint64_t value =
        size > 0 && (static_cast<unsigned char>(bytes.back()) & 0x80U) != 0 ? ~uint64_t{0} : 0;
    for (size_t i = size; i-- > 0;) value = value << 8 | static_cast<unsigned char>(bytes[i]);
    return static_cast<int64_t>(value);
  }

  void execute(char opcode) {
    switch (opcode) {
      case '\x80':
        if (reader_.u8("pickle protocol") > 5) fail("protocol 0 to 5", "a newer one");
        break;
      case '\x95': reader_.take(8, "pickle frame"); break;
      case '(': push(make(Kind::kMark)); break;
      case 'N': push(make(Kind::kNone)); break;
      case '\x88': push_int(1); break;
      case '\x89': push_int(0); break;
      case 'J': push_int(static_cast<int32_t>(reader_.u32("pickle integer"))); break;
      case 'K': push_int(reader_.u8("pickle integer")); break;
      case 'M': push_int(reader_.u16("pickle integer")); break;
      case '\x8a': push_int(long_integer(reader_.u8("pickle integer"))); break;
      case 'G': push_float(); break;
      case 'X': push_string(reader_.take(reader_.u32("pickle text"), "pickle text")); break;
      case '\x8c': push_string(reader_.take(reader_.u8("pickle text"), "pickle text")); break;
      case ')': push_tuple(0); break;
      case '\x85': push_tuple(1); break;
      case '\x86': push_tuple(2); break;
      case '\x87': push_tuple(3); break;
      case 't': push_marked(Kind::kTuple); break;
      case ']': push(make(Kind::kList)); break;
      case 'l': push_marked(Kind::kList); break;
      case '}': push(make(Kind::kDict)); break;
      case 'd': push_marked(Kind::kDict); break;
      case 'a': append({pop()}); break;
      case 'e': append(pop_to_mark()); break;
      case 's': set_one(); break;
      case 'u': set_items(pop_to_mark()); break;
      case 'q': remember(reader_.u8("pickle memo")); break;
      case 'r': remember(reader_.u32("pickle memo")); break;
      case '\x94': remember(memo_.size()); break;
      case 'h': recall(reader_.u8("pickle memo")); break;
      case 'j': recall(reader_.u32("pickle memo")); break;
      case '0': pop(); break;
      case 'c': {
        const std::string module = line();
        push_global(module + "." + line());
        break;
      }
      case '\x93': {
        const std::string name = pop(Kind::kString, "a global's name")->text;
        push_global(pop(Kind::kString, "a global's module")->text + "." + name);
        break;
      }
      case 'Q': push(storage(*pop(Kind::kTuple, "a storage reference"))); break;
      case 'R': {
        const ValuePtr arguments = pop(Kind::kTuple, "a tuple of arguments");
        push(call(*pop(Kind::kGlobal, "a constructor"), *arguments));
        break;
      }
      case 'b':
        pop();
        break;  // BUILD on an OrderedDict sets `_metadata`; tensors and the rest have nothing to
                // build
      default:
        fail("an opcode of torch.save",
             "byte " + std::to_string(static_cast<unsigned char>(opcode)));
    }
  }

  void push_float() {
    const std::string_view bytes = reader_.take(8, "pickle number");
    uint64_t bits = 0;
    for (const char c : bytes) bits = bits << 8 | static_cast<unsigned char>(c);
    ValuePtr value = make(Kind::kFloat);
    value->real = std::bit_cast<double>(bits);
    push(std::move(value));
  }
  void push_marked(Kind kind) {
    ValuePtr value = make(kind);
    add(*value, pop_to_mark());
    if (kind == Kind::kDict && value->items.size() % 2 != 0)
      fail("pairs for a dictionary", "an odd number of values");
    push(std::move(value));
  }
  void append(const std::vector<ValuePtr>& items) {
    ValuePtr& list = top(Kind::kList, "a list");
    add(*list, items);
  }
  void set_one() {
    ValuePtr value = pop(), key = pop();
    set_items({std::move(key), std::move(value)});
  }
  void set_items(const std::vector<ValuePtr>& items) {
    if (items.size() % 2 != 0) fail("pairs for a dictionary", "an odd number of values");
    ValuePtr& dict = top(Kind::kDict, "a dictionary");
    add(*dict, items);
  }

  // ('storage', torch.XStorage, key, device, numel)
  ValuePtr storage(const Value& reference) {
    const auto& items = reference.items;
    if (items.size() != 5 || items[0]->text != "storage" || items[1]->kind != Kind::kGlobal ||
        items[2]->kind != Kind::kString || items[4]->kind != Kind::kInt)
      fail("('storage', type, key, device, count)", "another reference");
    const auto type = storage_type(items[1]->text);
    if (!type) fail("a storage type", items[1]->text);
    const std::string& key = items[2]->text;
    if (const auto found = storages_.find(key); found != storages_.end()) {
      if (found->second->tensor.scalar_type() != *type) fail("one type for storage " + key, "two");
      return found->second;
    }
    const std::string_view data = archive_.at(folder_ + "data/" + key);
    const uint64_t wanted = static_cast<uint64_t>(items[4]->integer);
    if (items[4]->integer < 0 || data.size() / c10::elementSize(*type) != wanted ||
        data.size() % c10::elementSize(*type) != 0)
      fail(std::to_string(items[4]->integer) + " values in storage " + key,
           std::to_string(data.size()) + " bytes");
    ValuePtr value = make(Kind::kStorage);
    value->tensor = at::empty({items[4]->integer}, *type);
    if (!data.empty()) std::memcpy(value->tensor.data_ptr(), data.data(), data.size());
    storages_[key] = value;
    return value;
  }

  std::vector<int64_t> sizes(const Value& tuple) const {
    std::vector<int64_t> out;
    if (tuple.kind != Kind::kTuple || tuple.items.size() > 16)
      fail("a tuple of sizes", "another value");
    for (const ValuePtr& item : tuple.items) {
      if (item->kind != Kind::kInt || item->integer < 0 || item->integer > int64_t{1} << 40)
        fail("sizes and strides from 0 to 2^40", "another value");
      out.push_back(item->integer);
    }
    return out;
  }

  ValuePtr call(const Value& global, const Value& arguments) {
    const auto& items = arguments.items;
    if (global.text == "collections.OrderedDict") {
      ValuePtr dict = make(Kind::kDict);
      if (items.empty()) return dict;
      if (items.size() != 1 || items[0]->kind != Kind::kList)
        fail("a list of pairs for OrderedDict", "other arguments");
      for (const ValuePtr& pair : items[0]->items) {
        if (pair->items.size() != 2) fail("a list of pairs for OrderedDict", "other arguments");
        add(*dict, pair->items);
      }
      return dict;
    }
    if (global.text == "torch._utils._rebuild_parameter") {
      if (items.empty() || items[0]->kind != Kind::kTensor)
        fail("a tensor for a parameter", "another value");
      return items[0];
    }
    if (global.text != "torch._utils._rebuild_tensor_v2") fail("a constructor", global.text);
    if (items.size() < 4 || items[0]->kind != Kind::kStorage || items[1]->kind != Kind::kInt)
      fail("storage, offset, sizes, strides", "other arguments");
    return tensor(items[0]->tensor, items[1]->integer, sizes(*items[2]), sizes(*items[3]));
  }

  ValuePtr tensor(const at::Tensor& flat, int64_t offset, const std::vector<int64_t>& shape,
                  const std::vector<int64_t>& strides) {
    const std::string text = shape_text(shape) + " at " + std::to_string(offset);
    if (shape.size() != strides.size())
      fail("a stride for each size of " + text, shape_text(strides));
    __int128 last = offset, numel = 1;
    for (size_t i = 0; i < shape.size(); ++i) {
      last += static_cast<__int128>(std::max<int64_t>(shape[i] - 1, 0)) * strides[i];
      numel *= shape[i];
      if (numel > __int128{1} << 50) fail("a tensor that fits into memory", text);
    }
    // Strides of zero could blow a small file up to a huge copy; real checkpoints hold no expanded
    // tensors.
    if (offset < 0 || (numel > 0 && last >= flat.numel()) || numel > flat.numel())
      fail("a tensor within its storage of " + std::to_string(flat.numel()) + " values",
           text + " with strides " + shape_text(strides));
    ValuePtr value = make(Kind::kTensor);
    value->tensor = numel == 0 ? at::empty(shape, flat.scalar_type())
                               : flat.as_strided(shape, strides, offset).clone().contiguous();
    return value;
  }

  ByteReader reader_;
  const Archive& archive_;
  std::string folder_;
  std::vector<ValuePtr> stack_;
  std::unordered_map<uint64_t, ValuePtr> memo_;
  std::unordered_map<std::string, ValuePtr> storages_;
};

const Value* lookup(const Value& dict, std::string_view key) {
  for (size_t i = 0; i + 1 < dict.items.size(); i += 2)
    if (dict.items[i]->kind == Kind::kString && dict.items[i]->text == key)
      return dict.items[i + 1].get();
  return nullptr;
}

void collect(const Value& dict, const std::string& prefix, int depth, TensorMap& out) {
  if (depth > 8) return;  // a dictionary can hold itself; state dicts are flat
  for (size_t i = 0; i + 1 < dict.items.size(); i += 2) {
    if (dict.items[i]->kind != Kind::kString) continue;
    const Value& value = *dict.items[i + 1];
    const std::string name = prefix + dict.items[i]->text;
    if (value.kind == Kind::kTensor)
      out[name] = value.tensor;
    else if (value.kind == Kind::kDict)
      collect(value, name + ".", depth + 1, out);
  }
}

}  // namespace

TensorMap read_torch_checkpoint(std::string_view bytes, std::shared_ptr<const void> owner,
                                const std::string& file) {
  const Archive archive = read_zip(bytes, std::move(owner), file);
  std::string folder;
  bool is_found = false;
  for (const auto& member : archive.members) {
    if (!member.first.ends_with("data.pkl")) continue;
    folder = member.first.substr(0, member.first.size() - 8);
    is_found = folder.empty() || folder.ends_with('/');
    if (is_found) break;
  }
  const std::string_view program = archive.at(is_found ? folder + "data.pkl" : "data.pkl");
  if (const auto order = archive.members.find(folder + "byteorder");
      order != archive.members.end() && order->second != "little")
    throw core::LoadError({.subject = "byteorder",
                           .expected = "little",
                           .found = std::string(order->second.substr(0, 20)),
                           .file = file,
                           .hint = {}});
  const ValuePtr top = PickleMachine(program, archive, folder).run();
  if (top->kind != Kind::kDict)
    throw core::LoadError({.subject = "checkpoint",
                           .expected = "a dictionary of tensors",
                           .found = "another object",
                           .file = file,
                           .hint = {}});
  const Value* state = lookup(*top, "state_dict");
  TensorMap out;
  collect(state != nullptr && state->kind == Kind::kDict ? *state : *top, "", 0, out);
  return out;
}

TensorMap load_torch_checkpoint(const std::string& path) {
  const auto file = MappedFile::open(path);
  return read_torch_checkpoint(file->view(), file, path);
}

NemoArchive read_nemo(const std::string& path) {
  const Archive archive = read_tar(path);
  return {.config_yaml = std::string(archive.at("model_config.yaml")),
          .tensors = read_torch_checkpoint(archive.at("model_weights.ckpt"), archive.owner,
                                           path + ": model_weights.ckpt")};
}

}  // namespace duet::models
