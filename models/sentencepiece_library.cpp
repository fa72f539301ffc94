#include "models/sentencepiece_library.h"

#include <dlfcn.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "runtime/core/error.h"

namespace duet::models {
namespace {

struct Functions {
  void* (*load)(const char*, size_t, char*, size_t);
  void (*free)(void*);
  int (*size)(void*);
  const int* (*encode)(void*, const char*, size_t, size_t*);
  const char* (*piece)(void*, int);
  int (*id)(void*, const char*);
  int (*kind)(void*, int);
};

constexpr const char* kShimName = "libduet_sentencepiece.so";

// The build tree first when we run from it, then beside or under the installed binary.
void* open_shim() {
  std::error_code ignored;
  const std::filesystem::path binary =
      std::filesystem::read_symlink("/proc/self/exe", ignored).parent_path();
  std::string tried;
  for (const std::filesystem::path& path :
       {binary / kShimName, binary / ".." / kShimName, binary / "../lib/duet" / kShimName,
        std::filesystem::path(DUET_SENTENCEPIECE_SHIM)}) {
    if (void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND)) return handle;
    tried += (tried.empty() ? "" : "; ") + std::string(dlerror());
  }
  throw core::LoadError({.subject = kShimName,
                         .expected = "the SentencePiece module beside the binary",
                         .found = tried,
                         .file = {},
                         .hint = "reinstall duet, or run it from its build folder"});
}

const Functions& functions() {
  static const Functions table = [] {
    void* handle = open_shim();
    const auto find = [&](auto& pointer, const char* name) {
      pointer = reinterpret_cast<std::remove_reference_t<decltype(pointer)>>(dlsym(handle, name));
      DUET_CHECK_MSG(pointer != nullptr, name);
    };
    Functions out{};
    find(out.load, "duet_sp_load");
    find(out.free, "duet_sp_free");
    find(out.size, "duet_sp_size");
    find(out.encode, "duet_sp_encode");
    find(out.piece, "duet_sp_piece");
    find(out.id, "duet_sp_id");
    find(out.kind, "duet_sp_kind");
    return out;
  }();
  return table;
}

}  // namespace

struct SentencePieceModel::Impl {
  void* handle = nullptr;
  ~Impl() {
    if (handle) functions().free(handle);
  }
};

SentencePieceModel::SentencePieceModel(const std::string& path) : impl_(std::make_unique<Impl>()) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream content;
  content << file.rdbuf();
  if (!file)
    throw core::LoadError({.subject = "SentencePiece model",
                           .expected = "a readable file",
                           .found = "nothing",
                           .file = path,
                           .hint = {}});
  const std::string data = content.str();
  std::array<char, 256> error{};
  impl_->handle = functions().load(data.data(), data.size(), error.data(), error.size());
  if (!impl_->handle)
    throw core::LoadError({.subject = "SentencePiece model",
                           .expected = "a serialised model",
                           .found = error.data(),
                           .file = path,
                           .hint = {}});
}

SentencePieceModel::~SentencePieceModel() = default;
SentencePieceModel::SentencePieceModel(SentencePieceModel&&) noexcept = default;
SentencePieceModel& SentencePieceModel::operator=(SentencePieceModel&&) noexcept = default;

int SentencePieceModel::size() const { return functions().size(impl_->handle); }

std::vector<int> SentencePieceModel::encode(std::string_view text) const {
  size_t count = 0;
  const int* ids = functions().encode(impl_->handle, text.data(), text.size(), &count);
  return {ids, ids + count};
}

std::string SentencePieceModel::piece(int id) const {
  DUET_CHECK(id >= 0 && id < size());
  return functions().piece(impl_->handle, id);
}

int SentencePieceModel::id(const std::string& piece) const {
  return functions().id(impl_->handle, piece.c_str());
}

SentencePieceModel::Kind SentencePieceModel::kind(int id) const {
  DUET_CHECK(id >= 0 && id < size());
  return static_cast<Kind>(functions().kind(impl_->handle, id));
}

}  // namespace duet::models
