#include "runtime/core/version.h"

#include "duet_build_info.h"  // written by the build: tools/cmake/DuetBuildInfo.cmake

namespace duet::core {

const char* version() { return DUET_VERSION; }
const char* commit() { return DUET_COMMIT; }

std::string version_text() {
  return std::string("duet ") + version() + " (commit " + commit() + ", " + DUET_BUILD_TYPE + ")";
}

}  // namespace duet::core
