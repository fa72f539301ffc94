#pragma once
// One input of any bytes through each parser of network data. Returns when the parser behaved:
// accepted it or said what is wrong; aborts (DUET_CHECK) when it broke a promise; sanitizers see
// the rest. Used by the libFuzzer targets in tests/fuzz and by the mutation test in ctest.

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace duet::test {

/// Byte 0: bit 0 resync, bit 1 repair the checksums of all pages first (or no mutation gets past
/// them), the others the size of the pieces. Checks that pieces give what the whole gives.
void fuzz_ogg_opus(std::span<const uint8_t> input);
void fuzz_moshi_frame(std::span<const uint8_t> input);
/// Events, session updates in both profiles, and the answers written to them.
void fuzz_realtime(std::span<const uint8_t> input);
/// Lines of events: of the duplex extensions, with one reader for all; and of GPT-Live.
void fuzz_duplex_live(std::span<const uint8_t> input);

}  // namespace duet::test
