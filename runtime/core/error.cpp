#include "runtime/core/error.h"

#include <cstdio>
#include <cstdlib>

namespace duet::core {

std::string format_error(const ErrorDetail& detail) {
  std::string text = detail.subject;
  const char* separator = ": ";
  if (!detail.expected.empty()) {
    text += separator + std::string("expected ") + detail.expected;
    separator = ", ";
  }
  if (!detail.found.empty()) text += separator + std::string("found ") + detail.found;
  if (!detail.file.empty()) text += " in " + detail.file;
  if (!detail.hint.empty()) text += " (" + detail.hint + ")";
  return text;
}

Error::Error(ErrorDetail detail)
    : std::runtime_error(format_error(detail)), detail_(std::move(detail)) {}

void check_failed(const char* expression, const char* file, int line,
                  const std::string& values) noexcept {
  std::fprintf(stderr, "%s:%d: internal check failed: %s%s%s\n", file, line, expression,
               values.empty() ? "" : ": ", values.c_str());
  std::abort();
}

}  // namespace duet::core
