#pragma once
// Members of tar archives (plain or gzip) and of uncompressed zip archives, without unpacking them.
// Sources: POSIX pax/ustar with GNU long names; PKWARE APPNOTE 6.3 with ZIP64. Not supported:
// sparse tar members, split, encrypted or compressed zip members (torch.save writes none).

#include <map>
#include <memory>
#include <string>
#include <string_view>

namespace duet::models {

/// Views into bytes that `owner` keeps alive. Names without a leading "./".
struct Archive {
  std::map<std::string, std::string_view> members;
  std::shared_ptr<const void> owner;
  std::string file;  ///< for errors

  /// Throws core::LoadError naming what is there when `name` is not.
  std::string_view at(const std::string& name) const;
};

/// Reads a tar file; gzip is recognised by its first bytes and inflated into memory (64 GiB at
/// most). Throws core::LoadError: truncated, bad checksum, no tar archive, gzip data damaged.
Archive read_tar(const std::string& path);

/// Reads the directory of a zip archive that lies in `bytes`, which `owner` keeps alive. Throws
/// core::LoadError.
Archive read_zip(std::string_view bytes, std::shared_ptr<const void> owner,
                 const std::string& file);

}  // namespace duet::models
