#pragma once

namespace duet::audio {

/// Throws core::ConfigError, which names `name`, unless min <= value <= max (NaN never is).
void check_range(const char* name, double value, double min, double max);

}  // namespace duet::audio
