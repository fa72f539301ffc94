#include "runtime/core/atomic_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <system_error>

#include "runtime/core/error.h"

namespace duet::core {

namespace {

[[noreturn]] void fail(const std::string& path, const std::string& expected,
                       const std::string& found) {
  throw LoadError(
      {.subject = "output file", .expected = expected, .found = found, .file = path, .hint = ""});
}

/// The mode a plain new file would get: mkstemp's 0600 would survive the rename.
mode_t default_mode() {
  const mode_t mask = ::umask(0);
  ::umask(mask);
  return 0666 & ~mask;
}

}  // namespace

AtomicFile::AtomicFile(const std::string& path) : path_(path) {
  namespace fs = std::filesystem;
  if (path.empty()) fail(path, "a file name", "an empty one");
  std::error_code error;
  if (fs::is_symlink(path_, error)) path_ = fs::weakly_canonical(path_, error).string();
  const fs::file_status status = fs::status(path_, error);
  if (fs::exists(status) && !fs::is_regular_file(status)) {
    fail(path, "a regular file or nothing yet",
         fs::is_directory(status) ? "a folder" : "a device or pipe");
  }
  std::string name = path_ + ".XXXXXX.part";
  const int fd = ::mkstemps(name.data(), 5);
  if (fd < 0) fail(path, "a writable place", std::strerror(errno));
  temporary_path_ = name;
  static_cast<void>(::fchmod(fd, default_mode()));
  ::close(fd);
}

AtomicFile::~AtomicFile() {
  if (!is_committed_ && !temporary_path_.empty()) ::unlink(temporary_path_.c_str());
}

void AtomicFile::commit() {
  // Content first, name second: after a power cut the file is the old one or the new one, never an
  // empty one.
  if (const int fd = ::open(temporary_path_.c_str(), O_RDONLY | O_CLOEXEC); fd >= 0) {
    const bool is_synced = ::fsync(fd) == 0 || errno == EINVAL;
    const int sync_errno = errno;
    ::close(fd);
    if (!is_synced) fail(path_, "content on the disk", std::strerror(sync_errno));
  }
  if (::rename(temporary_path_.c_str(), path_.c_str()) != 0)
    fail(path_, "a file to put here", std::strerror(errno));
  is_committed_ = true;
}

void write_file_atomically(const std::string& path, std::string_view content) {
  AtomicFile file(path);
  {
    std::ofstream stream(file.temporary_path(), std::ios::binary | std::ios::trunc);
    stream.write(content.data(), static_cast<std::streamsize>(content.size()));
    stream.close();
    if (!stream)
      fail(path, std::to_string(content.size()) + " bytes written", std::strerror(errno));
  }
  file.commit();
}

}  // namespace duet::core
