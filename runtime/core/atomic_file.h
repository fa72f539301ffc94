#pragma once
// Files that are either whole or not there: written beside their place under a temporary name, then
// renamed.

#include <string>
#include <string_view>

namespace duet::core {

/// A place for a file to be. Without commit, the temporary file is removed and whatever was at
/// `path` stays.
class AtomicFile {
 public:
  /// Creates the temporary file (empty), following a symbolic link to where it points. Throws
  /// LoadError when the folder is missing or not writable, or when `path` exists and is no regular
  /// file (a folder, a device).
  explicit AtomicFile(const std::string& path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  const std::string& path() const noexcept { return path_; }
  /// Write here, close, then commit.
  const std::string& temporary_path() const noexcept { return temporary_path_; }
  /// Throws LoadError; the temporary file is then removed with this object.
  void commit();

 private:
  std::string path_;
  std::string temporary_path_;
  bool is_committed_ = false;
};

/// Writes a whole file. Throws LoadError.
void write_file_atomically(const std::string& path, std::string_view content);

}  // namespace duet::core
