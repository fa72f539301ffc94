#pragma once
// How shapes are written in errors.

#include <c10/util/ArrayRef.h>

#include <cstdint>
#include <string>

namespace duet::models {

/// "[2,3]"
std::string shape_text(c10::ArrayRef<int64_t> shape);

}  // namespace duet::models
