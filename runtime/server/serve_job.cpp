#include "runtime/server/serve_job.h"

#include <unistd.h>

#include <chrono>
#include <ostream>
#include <thread>

#include "runtime/core/log.h"
#include "runtime/server/server.h"
#include "runtime/server/tls.h"

namespace duet::server {
namespace {

std::vector<std::string> certificate_names(const ServerConfig& config) {
  std::vector<std::string> names = {"localhost", "127.0.0.1", "::1"};
  char host[256] = {};
  if (::gethostname(host, sizeof host - 1) == 0 && host[0] != '\0') names.emplace_back(host);
  for (const auto& name : config.hosts) names.push_back(name);
  if (!is_loopback(config.address) && config.address != "0.0.0.0" && config.address != "::")
    names.push_back(config.address);
  return names;
}

}  // namespace

void serve(ServeJob job, const std::function<std::unique_ptr<runtime::Engine>()>& load,
           std::ostream& out, const std::function<bool()>& should_stop) {
  job.config.validate();
  if (!job.self_signed_folder.empty()) {
    const SelfSigned made = make_self_signed(job.self_signed_folder, certificate_names(job.config));
    job.config.tls_cert = made.cert_file;
    job.config.tls_key = made.key_file;
    out << "certificate  " << made.cert_file << "\nfingerprint  SHA-256 " << made.fingerprint
        << "\n             browsers warn of it once: compare the fingerprint, then go on; or add "
           "the\n"
           "             file to the system's or browser's authorities\n";
  }
  const auto engine = load();
  Server server(*engine, job.config);
  const bool is_tls = !job.config.tls_cert.empty();
  const std::string host = job.config.address == "0.0.0.0" || job.config.address == "::"
                               ? "localhost"
                               : job.config.address;
  const std::string place = "://" +
                            (host.find(':') == std::string::npos ? host : '[' + host + ']') + ':' +
                            std::to_string(server.port());
  out << "web page     " << (is_tls ? "https" : "http") << place << "/\nMoshi        "
      << (is_tls ? "wss" : "ws") << place << "/api/chat\nRealtime     " << (is_tls ? "wss" : "ws")
      << place << "/v1/realtime\nsessions     " << server.max_sessions()
      << " at a time; Ctrl-C lets them end, twice stops at once\n"
      << std::flush;
  while (!should_stop()) std::this_thread::sleep_for(std::chrono::milliseconds(100));
  core::log_info("draining: no new conversations, the others have " +
                 std::to_string(static_cast<int>(job.config.drain_s)) + " s");
  server.drain();
}

}  // namespace duet::server
