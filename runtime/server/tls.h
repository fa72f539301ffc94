#pragma once
// Certificates made on the spot, so that browsers on other machines get a microphone: they give
// it to secure contexts only.

#include <string>
#include <vector>

namespace duet::server {

struct SelfSigned {
  std::string cert_file, key_file, fingerprint;  ///< SHA-256, "AB:CD:..."
};

/// A P-256 key and a certificate for `names` (host names or IP addresses), valid a year, in
/// `folder` (made when missing; the key is readable by its owner only). One that is there already
/// is used again. Throws core::LoadError.
SelfSigned make_self_signed(const std::string& folder, const std::vector<std::string>& names);

}  // namespace duet::server
