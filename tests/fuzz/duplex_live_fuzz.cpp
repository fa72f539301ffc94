// libFuzzer target; see tests/fuzz/CMakeLists.txt.
#include "tests/support/wire_fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  duet::test::fuzz_duplex_live({data, size});
  return 0;
}
