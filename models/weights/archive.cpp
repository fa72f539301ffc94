#include "models/weights/archive.h"

#include <zlib.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "models/weights/mapped_file.h"
#include "runtime/core/error.h"

namespace duet::models {
namespace {

constexpr size_t kBlock = 512;
constexpr uint64_t kMaxInflated = uint64_t{64} << 30;

[[noreturn]] void fail(const std::string& file, const std::string& subject,
                       const std::string& expected, const std::string& found) {
  throw core::LoadError(
      {.subject = subject, .expected = expected, .found = found, .file = file, .hint = {}});
}

std::shared_ptr<std::string> inflate_gzip(std::string_view bytes, const std::string& file) {
  auto out = std::make_shared<std::string>();
  z_stream stream = {};
  if (inflateInit2(&stream, 15 + 16) != Z_OK) fail(file, "gzip", "memory to inflate", "none");
  struct End {
    z_stream* stream;
    ~End() { inflateEnd(stream); }
  } const end{&stream};
  std::string buffer(1 << 18, '\0');
  int status = Z_OK;
  for (size_t at = 0; status != Z_STREAM_END;) {
    if (stream.avail_in == 0) {
      const size_t count = std::min<size_t>(bytes.size() - at, 1 << 24);
      if (count == 0) fail(file, "gzip data", "the end of the stream", "the end of the file");
      stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data() + at));
      stream.avail_in = static_cast<uInt>(count);
      at += count;
    }
    stream.next_out = reinterpret_cast<Bytef*>(buffer.data());
    stream.avail_out = static_cast<uInt>(buffer.size());
    status = inflate(&stream, Z_NO_FLUSH);
    if (status != Z_OK && status != Z_STREAM_END)
      fail(file, "gzip data", "a whole stream", stream.msg != nullptr ? stream.msg : "damage");
    out->append(buffer.data(), buffer.size() - stream.avail_out);
    if (out->size() > kMaxInflated) fail(file, "gzip data", "at most 64 GiB", "more");
  }
  return out;
}

// Octal with blanks around it, or base 256 when the first bit is set (GNU, for members over 8 GiB).
uint64_t tar_number(std::string_view field, const std::string& file, const std::string& name) {
  uint64_t value = 0;
  if (static_cast<unsigned char>(field[0]) & 0x80U) {
    if (static_cast<unsigned char>(field[0]) != 0x80U)
      fail(file, "tar member " + name, "a size >= 0", "a negative one");
    for (const char c : field.substr(field.size() - 8))
      value = value << 8 | static_cast<unsigned char>(c);
    return value;
  }
  for (const char c : field) {
    if (c == ' ' || c == '\0') continue;
    if (c < '0' || c > '7')
      fail(file, "tar member " + name, "an octal number", "\"" + std::string(field) + "\"");
    value = value << 3 | static_cast<uint64_t>(c - '0');
  }
  return value;
}

std::string tar_text(std::string_view field) {
  return std::string(field.substr(0, field.find('\0')));
}

bool is_tar_header(std::string_view block) {
  uint64_t sum = 0, stored = 0;
  for (size_t i = 0; i < kBlock; ++i)
    sum += i >= 148 && i < 156 ? ' ' : static_cast<unsigned char>(block[i]);
  for (const char c : block.substr(148, 8))
    if (c >= '0' && c <= '7') stored = stored << 3 | static_cast<uint64_t>(c - '0');
  return sum == stored;
}

// "LENGTH path=NAME\n" records of a pax header.
std::string pax_path(std::string_view records) {
  std::string path;
  while (!records.empty()) {
    const size_t space = records.find(' ');
    size_t length = 0;
    for (size_t i = 0; i < std::min(space, records.size()); ++i)
      if (records[i] >= '0' && records[i] <= '9' && length < 1U << 30)
        length = 10 * length + static_cast<size_t>(records[i] - '0');
    if (space == std::string_view::npos || length <= space + 1 || length > records.size()) break;
    const std::string_view entry = records.substr(space + 1, length - space - 2);
    if (entry.starts_with("path=")) path = std::string(entry.substr(5));
    records.remove_prefix(length);
  }
  return path;
}

}  // namespace

std::string_view Archive::at(const std::string& name) const {
  const auto found = members.find(name);
  if (found != members.end()) return found->second;
  std::string names;
  size_t count = 0;
  for (const auto& member : members) {
    if (++count > 8) continue;
    names += names.empty() ? "" : ", ";
    names += member.first;
  }
  if (count > 8) names += ", ... (" + std::to_string(count) + " members)";
  fail(file, "archive", "a member " + name, names.empty() ? "an empty archive" : names);
}

Archive read_tar(const std::string& path) {
  const auto mapped = MappedFile::open(path);
  Archive out{.members = {}, .owner = mapped, .file = path};
  std::string_view bytes = mapped->view();
  if (bytes.starts_with("\x1f\x8b")) {
    const auto inflated = inflate_gzip(bytes, path);
    bytes = *inflated;
    out.owner = inflated;
  }
  std::string long_name;
  size_t at = 0;
  bool has_end = false;
  while (at + kBlock <= bytes.size()) {
    const std::string_view header = bytes.substr(at, kBlock);
    if (header.find_first_not_of('\0') == std::string_view::npos) {
      has_end = true;
      break;
    }
    if (!is_tar_header(header))
      fail(path, "tar archive", "a header with its checksum",
           "other bytes at offset " + std::to_string(at));
    std::string name = tar_text(header.substr(0, 100));
    const std::string prefix =
        header.substr(257, 5) == "ustar" ? tar_text(header.substr(345, 155)) : "";
    if (!prefix.empty()) name = prefix + "/" + name;
    const uint64_t size = tar_number(header.substr(124, 12), path, name);
    const char type = header[156];
    at += kBlock;
    if (size > bytes.size() - at)
      fail(path, "tar member " + name, std::to_string(size) + " bytes",
           std::to_string(bytes.size() - at) + " before the end (truncated?)");
    const std::string_view data = bytes.substr(at, size);
    at = std::min(bytes.size(), at + (size + kBlock - 1) / kBlock * kBlock);
    if (type == 'L')
      long_name = tar_text(data);
    else if (type == 'x')
      long_name = pax_path(data);
    if (type == 'L' || type == 'x' || type == 'g') continue;
    if (!long_name.empty()) name = std::exchange(long_name, {});
    while (name.starts_with("./")) name.erase(0, 2);
    if (type == '0' || type == '\0' || type == '7')
      out.members[name] = data;
    else if (type != '5')
      fail(path, "tar member " + name, "a file or folder", std::string("type ") + type);
  }
  if (out.members.empty()) fail(path, "tar archive", "members", "none");
  if (!has_end && at < bytes.size())
    fail(path, "tar archive", "an end mark", "a cut header (truncated?)");
  return out;
}

namespace {

struct ZipEntry {
  std::string name;
  uint64_t size = 0, header_offset = 0;
};

// The ZIP64 extra field holds, in this order, those of the values that are all ones in the record
// itself.
void apply_zip64(std::string_view extra, uint64_t& size, uint64_t& packed, uint64_t& offset,
                 const std::string& file) {
  ByteReader reader(extra, file);
  while (reader.remaining() >= 4) {
    const uint16_t id = reader.u16("zip extra field");
    const std::string_view data = reader.take(reader.u16("zip extra field"), "zip extra field");
    if (id != 1) continue;
    ByteReader values(data, file);
    for (uint64_t* value : {&size, &packed, &offset})
      if (*value == 0xffffffffU) *value = values.u64("ZIP64 field");
    return;
  }
}

ZipEntry read_zip_entry(ByteReader& reader, const std::string& file) {
  if (reader.u32("zip directory") != 0x02014b50)
    reader.fail("zip directory", "an entry", "another signature");
  reader.take(4, "zip directory");
  const uint16_t flags = reader.u16("zip directory"), method = reader.u16("zip directory");
  reader.take(8, "zip directory");
  uint64_t packed = reader.u32("zip directory"), size = reader.u32("zip directory");
  const uint16_t name_size = reader.u16("zip directory"), extra_size = reader.u16("zip directory");
  const uint16_t comment_size = reader.u16("zip directory");
  reader.take(8, "zip directory");
  uint64_t offset = reader.u32("zip directory");
  ZipEntry entry;
  entry.name = std::string(reader.take(name_size, "zip member name"));
  apply_zip64(reader.take(extra_size, "zip extra field"), size, packed, offset, file);
  reader.take(comment_size, "zip comment");
  if ((flags & 1U) != 0) fail(file, "zip member " + entry.name, "plain data", "encrypted data");
  if (method != 0 || packed != size)
    fail(file, "zip member " + entry.name, "stored data",
         "compression method " + std::to_string(method));
  entry.size = size;
  entry.header_offset = offset;
  return entry;
}

}  // namespace

Archive read_zip(std::string_view bytes, std::shared_ptr<const void> owner,
                 const std::string& file) {
  // The end record: 22 bytes, then a comment of up to 65535.
  const size_t lowest = bytes.size() > 22 + 65535 ? bytes.size() - 22 - 65535 : 0;
  const size_t end =
      bytes.size() < 22 ? std::string_view::npos : bytes.rfind("PK\x05\x06", bytes.size() - 22);
  if (end == std::string_view::npos || end < lowest)
    fail(file, "torch.save archive", "a zip file",
         "no zip directory (truncated, or older than PyTorch 1.6)");
  ByteReader reader(bytes, file);
  reader.seek(end + 10, "zip end record");
  uint64_t count = reader.u16("zip end record");
  reader.take(4, "zip end record");
  uint64_t directory = reader.u32("zip end record");
  if ((count == 0xffff || directory == 0xffffffffU) && end >= 20 &&
      bytes.substr(end - 20, 4) == "PK\x06\x07") {
    reader.seek(end - 12, "ZIP64 locator");
    reader.seek(reader.u64("ZIP64 locator"), "ZIP64 end record");
    if (reader.u32("ZIP64 end record") != 0x06064b50)
      reader.fail("ZIP64 end record", "its signature", "another");
    reader.take(28, "ZIP64 end record");
    count = reader.u64("ZIP64 end record");
    reader.take(8, "ZIP64 end record");
    directory = reader.u64("ZIP64 end record");
  }
  Archive out{.members = {}, .owner = std::move(owner), .file = file};
  reader.seek(directory, "zip directory");
  for (uint64_t i = 0; i < count; ++i) {
    const ZipEntry entry = read_zip_entry(reader, file);
    ByteReader local(bytes, file);
    local.seek(entry.header_offset, "zip member");
    if (local.u32("zip member") != 0x04034b50)
      local.fail("zip member " + entry.name, "its header", "another signature");
    local.take(22, "zip member");
    const uint16_t name_size = local.u16("zip member"), extra_size = local.u16("zip member");
    local.take(uint64_t{name_size} + extra_size, "zip member");
    if (!out.members.emplace(entry.name, local.take(entry.size, "zip member data")).second)
      fail(file, "zip member " + entry.name, "each member once", "the name again");
  }
  return out;
}

}  // namespace duet::models
