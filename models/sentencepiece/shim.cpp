// A C interface to SentencePiece in a shared object of its own. Debian's libsentencepiece exports
// the protobuf-lite it carries; loaded beside Debian's LibTorch, which brings libprotobuf, the two
// mix and the process dies before main. models/sentencepiece_library.cpp opens this object with
// RTLD_LOCAL | RTLD_DEEPBIND, so that each keeps its own.
#include <sentencepiece_processor.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#define DUET_SP_EXPORT extern "C" __attribute__((visibility("default")))

using Processor = sentencepiece::SentencePieceProcessor;

namespace {
thread_local std::string text_buffer;
thread_local std::vector<int> id_buffer;
}  // namespace

/// Parses a serialised model; nullptr and a message in `error` when it is not one.
DUET_SP_EXPORT void* duet_sp_load(const char* data, size_t size, char* error, size_t error_size) {
  auto* processor = new Processor;
  const auto status = processor->LoadFromSerializedProto({data, size});
  if (status.ok()) return processor;
  const std::string message = status.ToString();
  const size_t length = std::min(error_size - 1, message.size());
  std::memcpy(error, message.data(), length);
  error[length] = '\0';
  delete processor;
  return nullptr;
}

DUET_SP_EXPORT void duet_sp_free(void* handle) { delete static_cast<Processor*>(handle); }

DUET_SP_EXPORT int duet_sp_size(void* handle) {
  return static_cast<Processor*>(handle)->GetPieceSize();
}

/// Ids of a UTF-8 text; the pointer stays valid until the thread's next call.
DUET_SP_EXPORT const int* duet_sp_encode(void* handle, const char* text, size_t size,
                                         size_t* count) {
  id_buffer.clear();
  if (!static_cast<Processor*>(handle)->Encode({text, size}, &id_buffer).ok()) id_buffer.clear();
  *count = id_buffer.size();
  return id_buffer.data();
}

DUET_SP_EXPORT const char* duet_sp_piece(void* handle, int id) {
  text_buffer = static_cast<Processor*>(handle)->IdToPiece(id);
  return text_buffer.c_str();
}

DUET_SP_EXPORT int duet_sp_id(void* handle, const char* piece) {
  return static_cast<Processor*>(handle)->PieceToId(piece);
}

/// 0 normal, 1 unknown, 2 control, 3 byte, 4 unused.
DUET_SP_EXPORT int duet_sp_kind(void* handle, int id) {
  const auto* processor = static_cast<Processor*>(handle);
  if (processor->IsUnknown(id)) return 1;
  if (processor->IsControl(id)) return 2;
  if (processor->IsByte(id)) return 3;
  return processor->IsUnused(id) ? 4 : 0;
}
