#include "runtime/client/server_system.h"

#include <algorithm>
#include <chrono>
#include <thread>

#include "runtime/client/server_partner.h"
#include "runtime/core/error.h"

namespace duet::client {

using runtime::bench::ConnectError;

namespace {

runtime::EngineInfo describe(const ServerOptions& options) {
  runtime::EngineInfo info;
  info.input_rate_hz = info.output_rate_hz = 24000;
  // Moshi steps by 80 ms; where speech is placed by its arrival, 20 ms are as near as needed.
  info.block_samples = info.output_block_samples =
      options.protocol == Protocol::kMoshi ? 1920 : 480;
  info.step_seconds = static_cast<double>(info.block_samples) / info.input_rate_hz;
  info.model_name = (options.protocol == Protocol::kMoshi ? "moshi " : "openai ") + options.url;
  if (!options.model.empty()) info.model_name += " " + options.model;
  return info;
}

class ServerSystem : public runtime::bench::System {
 public:
  explicit ServerSystem(const ServerOptions& options)
      : options_(options), info_(describe(options)) {
    options_.validate();
    parse_url(options.url);
  }

  const runtime::EngineInfo& info() const noexcept override { return info_; }
  bool is_realtime() const noexcept override { return true; }

  std::unique_ptr<runtime::bench::Partner> connect(
      const runtime::SessionOptions& session) const override {
    runtime::validate(session);
    auto pause = std::chrono::milliseconds(250);
    for (int attempt = 1;; ++attempt) {
      try {
        return options_.protocol == Protocol::kMoshi ? connect_moshi(options_, info_)
                                                     : connect_openai(options_, info_);
      } catch (const ConnectError& error) {
        if (!error.may_retry() || attempt >= options_.connect_attempts) throw;
      }
      std::this_thread::sleep_for(pause);
      pause = std::min(2 * pause, std::chrono::milliseconds(4000));
    }
  }

 private:
  ServerOptions options_;
  runtime::EngineInfo info_;
};

void check(const char* name, double value, double min, double max) {
  if (value >= min && value <= max) return;
  throw core::ConfigError({.subject = name,
                           .expected = std::to_string(min) + " to " + std::to_string(max),
                           .found = std::to_string(value),
                           .file = "",
                           .hint = ""});
}

}  // namespace

void ServerOptions::validate() const {
  check("connect timeout", connect_timeout_s, 0.1, 600.0);
  check("connect attempts", connect_attempts, 1, 20);
  check("stall timeout", stall_timeout_s, 0.1, 600.0);
  check("greatest lag", max_lag_s, 0.1, 600.0);
  check("pace", pace, 0.1, 100.0);
}

std::unique_ptr<runtime::bench::System> make_server_system(const ServerOptions& options) {
  return std::make_unique<ServerSystem>(options);
}

}  // namespace duet::client
