#pragma once

#include <cmath>
#include <nlohmann/json.hpp>

namespace duet::runtime::bench {

/// A number for a report, to 1e-4: borders lie on 10 ms frames or on samples, so that a tenth of a
/// millisecond keeps all that is known. What is not finite becomes null.
inline nlohmann::ordered_json json_number(double value) {
  if (!std::isfinite(value)) return nullptr;
  return std::round(value * 1e4) / 1e4;
}

}  // namespace duet::runtime::bench
