#include "models/weights/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "runtime/core/error.h"

namespace duet::models {

std::shared_ptr<MappedFile> MappedFile::open(const std::string& path) {
  const auto fail = [&](const std::string& found) {
    throw core::LoadError({.subject = "file",
                           .expected = "a readable file",
                           .found = found,
                           .file = path,
                           .hint = {}});
  };
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) fail(std::strerror(errno));
  struct stat status = {};
  const bool is_known = ::fstat(descriptor, &status) == 0;
  if (!is_known || !S_ISREG(status.st_mode) || status.st_size == 0) {
    ::close(descriptor);
    fail(!is_known                 ? "no status"
         : S_ISDIR(status.st_mode) ? "a folder"
                                   : "an empty or special file");
  }
  const size_t size = static_cast<size_t>(status.st_size);
  void* data = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE, descriptor, 0);
  const int map_errno = errno;
  ::close(descriptor);
  if (data == MAP_FAILED) fail(std::strerror(map_errno));
  return std::shared_ptr<MappedFile>(new MappedFile(path, static_cast<char*>(data), size));
}

MappedFile::~MappedFile() { ::munmap(data_, size_); }

std::string_view ByteReader::take(uint64_t count, const char* what) {
  if (count > remaining())
    fail(what, std::to_string(count) + " bytes",
         std::to_string(remaining()) + " before the end of the file");
  const std::string_view bytes = bytes_.substr(position_, count);
  position_ += count;
  return bytes;
}

void ByteReader::seek(uint64_t offset, const char* what) {
  if (offset > bytes_.size())
    fail(what, "an offset up to " + std::to_string(bytes_.size()), std::to_string(offset));
  position_ = offset;
}

uint64_t ByteReader::little_endian(uint64_t count, const char* what) {
  const std::string_view bytes = take(count, what);
  uint64_t value = 0;
  for (uint64_t i = 0; i < count; ++i)
    value |= static_cast<uint64_t>(static_cast<unsigned char>(bytes[i])) << (8 * i);
  return value;
}

void ByteReader::fail(const std::string& subject, const std::string& expected,
                      const std::string& found) const {
  throw core::LoadError({.subject = subject,
                         .expected = expected,
                         .found = found,
                         .file = file_ + " at byte " + std::to_string(position_),
                         .hint = {}});
}

}  // namespace duet::models
