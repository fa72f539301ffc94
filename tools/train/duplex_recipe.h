#pragma once

#include "models/duplex_lm.h"
#include "runtime/core/config_reader.h"

namespace duet::train {

/// The sizes under `lm` of a duplex recipe; the rest of the file is not looked at.
models::DuplexLmConfig read_duplex_lm(const core::ConfigReader& recipe);

}  // namespace duet::train
