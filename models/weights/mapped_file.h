#pragma once
// A file mapped read-only into memory (copy on write, so that a stray write never reaches the
// disk), and bounds-checked little-endian reading from it. Used by the weight file readers; big
// files cost no copy.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace duet::models {

/// Unmaps on destruction. Readers hand shared ownership to the tensors that point into it.
class MappedFile {
 public:
  /// Throws core::LoadError when the file is missing, unreadable, a folder or empty.
  static std::shared_ptr<MappedFile> open(const std::string& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  char* data() const { return data_; }
  size_t size() const { return size_; }
  const std::string& path() const { return path_; }
  std::string_view view() const { return {data_, size_}; }

 private:
  MappedFile(std::string path, char* data, size_t size)
      : path_(std::move(path)), data_(data), size_(size) {}
  std::string path_;
  char* data_;
  size_t size_;
};

/// A cursor over bytes. Running past the end throws core::LoadError: what was being read, where,
/// how much was missing.
class ByteReader {
 public:
  /// `file` names the source in errors; `bytes` must outlive the reader.
  ByteReader(std::string_view bytes, std::string file) : bytes_(bytes), file_(std::move(file)) {}

  uint8_t u8(const char* what) { return static_cast<uint8_t>(little_endian(1, what)); }
  uint16_t u16(const char* what) { return static_cast<uint16_t>(little_endian(2, what)); }
  uint32_t u32(const char* what) { return static_cast<uint32_t>(little_endian(4, what)); }
  uint64_t u64(const char* what) { return little_endian(8, what); }
  std::string_view take(uint64_t count, const char* what);
  void seek(uint64_t offset, const char* what);

  uint64_t position() const { return position_; }
  uint64_t remaining() const { return bytes_.size() - position_; }
  const std::string& file() const { return file_; }
  /// LoadError about the present position.
  [[noreturn]] void fail(const std::string& subject, const std::string& expected,
                         const std::string& found) const;

 private:
  uint64_t little_endian(uint64_t count, const char* what);
  std::string_view bytes_;
  std::string file_;
  uint64_t position_ = 0;
};

}  // namespace duet::models
