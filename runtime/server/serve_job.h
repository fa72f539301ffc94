#pragma once
// `duet serve` without its command line: the server from start to drained end.

#include <functional>
#include <iosfwd>
#include <memory>
#include <string>

#include "runtime/engine.h"
#include "runtime/server/config.h"

namespace duet::server {

struct ServeJob {
  ServerConfig config = {};
  std::string self_signed_folder = {};  ///< Not empty: TLS with a certificate made there.
};

/// Loads the engine, serves until `should_stop`, drains, returns. Addresses and the certificate's
/// fingerprint are printed on `out`. Throws what Server and `load` throw.
void serve(ServeJob job, const std::function<std::unique_ptr<runtime::Engine>()>& load,
           std::ostream& out, const std::function<bool()>& should_stop);

}  // namespace duet::server
