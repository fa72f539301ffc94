#include "models/weights/name_pattern.h"

namespace duet::models {

bool matches_pattern(std::string_view pattern, std::string_view name) {
  const size_t star = pattern.find('*');
  if (star == std::string_view::npos) return pattern == name;
  const std::string_view head = pattern.substr(0, star), tail = pattern.substr(star + 1);
  if (!name.starts_with(head)) return false;
  if (tail.empty()) return true;
  for (size_t i = head.size(); i <= name.size(); ++i)
    if (matches_pattern(tail, name.substr(i))) return true;
  return false;
}

}  // namespace duet::models
