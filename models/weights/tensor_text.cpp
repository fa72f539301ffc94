#include "models/weights/tensor_text.h"

namespace duet::models {

std::string shape_text(c10::ArrayRef<int64_t> shape) {
  std::string text = "[";
  for (const int64_t size : shape) {
    if (text.size() > 1) text += ",";
    text += std::to_string(size);
  }
  return text + "]";
}

}  // namespace duet::models
