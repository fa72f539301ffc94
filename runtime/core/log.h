#pragma once
// Logs, on stderr. Not for the audio callback (allocates and locks), not for a command's results
// (those are stdout).

#include <string_view>

namespace duet::core {

enum class LogLevel { kDebug, kInfo, kWarning, kError, kOff };

/// Messages below `level` are dropped. Default: kInfo, or the environment variable DUET_LOG (debug,
/// info, warning, error, off). Thread-safe.
void set_log_level(LogLevel level);
LogLevel log_level();

/// "debug" ... "off"; throws ConfigError naming `subject` for other texts.
LogLevel parse_log_level(std::string_view text, std::string_view subject);

/// One line with time and level. Thread-safe; never throws.
void log_debug(std::string_view text) noexcept;
void log_info(std::string_view text) noexcept;
void log_warning(std::string_view text) noexcept;
void log_error(std::string_view text) noexcept;

}  // namespace duet::core
