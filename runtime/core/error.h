#pragma once
// Errors of loading and configuring. House rule: subject, expected, found, file, hint, in one line.
// Running errors (a failed step) poison a session instead; broken invariants use DUET_CHECK.

#include <stdexcept>
#include <string>

namespace duet::core {

/// What went wrong, in parts, so that a caller can show them apart. Empty parts are left out of
/// what().
struct ErrorDetail {
  std::string subject =
      {};  ///< What is wrong: "encoder.layers.3.conv.weight", "--temperature", "question.wav".
  std::string expected = {};  ///< What should have been there.
  std::string found = {};     ///< What was there.
  std::string file = {};      ///< Path of the file, with a line or offset where it helps.
  std::string hint = {};      ///< What the user can do.
};

/// "subject: expected X, found Y in FILE (hint)".
std::string format_error(const ErrorDetail& detail);

class Error : public std::runtime_error {
 public:
  explicit Error(ErrorDetail detail);
  const ErrorDetail& detail() const noexcept { return detail_; }

 private:
  ErrorDetail detail_;
};

/// A setting, flag or configuration file that cannot be used.
class ConfigError : public Error {
 public:
  using Error::Error;
};

/// A file (weights, audio, tokenizer) that cannot be read as what it should be.
class LoadError : public Error {
 public:
  using Error::Error;
};

/// An audio device that is missing or refuses.
class DeviceError : public Error {
 public:
  using Error::Error;
};

[[noreturn]] void check_failed(const char* expression, const char* file, int line,
                               const std::string& values) noexcept;

}  // namespace duet::core

/// Broken invariants only, never input. Always on; prints the expression and aborts.
#define DUET_CHECK(condition)                                                         \
  do {                                                                                \
    if (!(condition)) ::duet::core::check_failed(#condition, __FILE__, __LINE__, {}); \
  } while (false)

/// The same with a message (anything convertible to std::string) that shows the values.
#define DUET_CHECK_MSG(condition, values)                                                 \
  do {                                                                                    \
    if (!(condition)) ::duet::core::check_failed(#condition, __FILE__, __LINE__, values); \
  } while (false)
