#include "runtime/core/log.h"

#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include <cstdlib>
#include <memory>
#include <string>

#include "runtime/core/error.h"

namespace duet::core {
namespace {

spdlog::level::level_enum native(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug: return spdlog::level::debug;
    case LogLevel::kInfo: return spdlog::level::info;
    case LogLevel::kWarning: return spdlog::level::warn;
    case LogLevel::kError: return spdlog::level::err;
    case LogLevel::kOff: break;
  }
  return spdlog::level::off;
}

spdlog::logger& logger() {
  static const std::shared_ptr<spdlog::logger> instance = [] {
    auto made = std::make_shared<spdlog::logger>(
        "duet", std::make_shared<spdlog::sinks::stderr_color_sink_mt>());
    made->set_pattern("%H:%M:%S.%e %^%l%$ %v");
    made->flush_on(spdlog::level::debug);
    LogLevel level = LogLevel::kInfo;
    if (const char* wanted = std::getenv("DUET_LOG")) {
      try {
        level = parse_log_level(wanted, "DUET_LOG");
      } catch (const ConfigError& error) {
        made->warn("{}", error.what());
      }
    }
    made->set_level(native(level));
    return made;
  }();
  return *instance;
}

void write(LogLevel level, std::string_view text) noexcept {
  try {
    logger().log(native(level), "{}", text);
  } catch (
      ...) {  // NOLINT(bugprone-empty-catch): a log that cannot be written must not end the program
  }
}

}  // namespace

void set_log_level(LogLevel level) { logger().set_level(native(level)); }

LogLevel log_level() {
  switch (logger().level()) {
    case spdlog::level::trace:
    case spdlog::level::debug: return LogLevel::kDebug;
    case spdlog::level::info: return LogLevel::kInfo;
    case spdlog::level::warn: return LogLevel::kWarning;
    case spdlog::level::err:
    case spdlog::level::critical: return LogLevel::kError;
    default: return LogLevel::kOff;
  }
}

LogLevel parse_log_level(std::string_view text, std::string_view subject) {
  if (text == "debug") return LogLevel::kDebug;
  if (text == "info") return LogLevel::kInfo;
  if (text == "warning") return LogLevel::kWarning;
  if (text == "error") return LogLevel::kError;
  if (text == "off") return LogLevel::kOff;
  throw ConfigError({.subject = std::string(subject),
                     .expected = "debug, info, warning, error or off",
                     .found = "\"" + std::string(text) + "\"",
                     .file = {},
                     .hint = {}});
}

void log_debug(std::string_view text) noexcept { write(LogLevel::kDebug, text); }
void log_info(std::string_view text) noexcept { write(LogLevel::kInfo, text); }
void log_warning(std::string_view text) noexcept { write(LogLevel::kWarning, text); }
void log_error(std::string_view text) noexcept { write(LogLevel::kError, text); }

}  // namespace duet::core
