#include "audio/check_range.h"

#include <string>

#include "runtime/core/error.h"

namespace duet::audio {

void check_range(const char* name, double value, double min, double max) {
  if (value >= min && value <= max) return;
  throw core::ConfigError({.subject = name,
                           .expected = std::to_string(min) + " to " + std::to_string(max),
                           .found = std::to_string(value)});
}

}  // namespace duet::audio
