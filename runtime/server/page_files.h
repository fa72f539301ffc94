#pragma once
// The web page, as built into the program from runtime/server/page/.

#include <span>
#include <string_view>

namespace duet::server {

struct PageFile {
  std::string_view name;  ///< "index.html"
  std::string_view content;
};

std::span<const PageFile> page_files() noexcept;

}  // namespace duet::server
