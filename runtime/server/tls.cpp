#include "runtime/server/tls.h"

#include <openssl/bn.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>

#include <cstdio>
#include <filesystem>
#include <memory>

#include "runtime/core/error.h"

namespace duet::server {
namespace {

template <class T, void (*Free)(T*)>
struct Deleter {
  void operator()(T* value) const { Free(value); }
};
using Key = std::unique_ptr<EVP_PKEY, Deleter<EVP_PKEY, EVP_PKEY_free>>;
using Cert = std::unique_ptr<X509, Deleter<X509, X509_free>>;
struct CloseFile {
  void operator()(std::FILE* file) const { std::fclose(file); }
};
using File = std::unique_ptr<std::FILE, CloseFile>;

[[noreturn]] void fail(const std::string& file, const std::string& what) {
  throw core::LoadError({.subject = "self-signed certificate",
                         .expected = what,
                         .found = {},
                         .file = file,
                         .hint = {}});
}

File open(const std::string& path, const char* mode) {
  File file(std::fopen(path.c_str(), mode));
  if (!file) fail(path, "a file that can be opened");
  return file;
}

std::string fingerprint(const X509& cert) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  X509_digest(&cert, EVP_sha256(), digest, &size);
  std::string text;
  for (unsigned int i = 0; i < size; ++i) {
    char hex[4];
    std::snprintf(hex, sizeof hex, "%02X", digest[i]);
    text += (text.empty() ? "" : ":") + std::string(hex);
  }
  return text;
}

void add_extension(X509& cert, int id, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, &cert, &cert, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, id, value.c_str());
  DUET_CHECK(extension != nullptr);
  X509_add_ext(&cert, extension, -1);
  X509_EXTENSION_free(extension);
}

Cert make_cert(EVP_PKEY& key, const std::vector<std::string>& names) {
  Cert cert(X509_new());
  X509_set_version(cert.get(), 2);  // Version 3.
  unsigned char serial[16];
  RAND_bytes(serial, sizeof serial);
  serial[0] &= 0x7FU;
  BIGNUM* number = BN_bin2bn(serial, sizeof serial, nullptr);
  BN_to_ASN1_INTEGER(number, X509_get_serialNumber(cert.get()));
  BN_free(number);
  X509_gmtime_adj(X509_getm_notBefore(cert.get()), -3600);
  X509_gmtime_adj(X509_getm_notAfter(cert.get()), 365L * 24 * 3600);
  X509_NAME* name = X509_get_subject_name(cert.get());
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>("duet"), -1, -1, 0);
  X509_set_issuer_name(cert.get(), name);
  X509_set_pubkey(cert.get(), &key);
  std::string subjects;
  for (const auto& one : names) {
    const bool is_address = one.find(':') != std::string::npos ||
                            one.find_first_not_of("0123456789.") == std::string::npos;
    subjects += (subjects.empty() ? "" : ",") + std::string(is_address ? "IP:" : "DNS:") + one;
  }
  add_extension(*cert, NID_subject_alt_name, subjects);
  add_extension(*cert, NID_basic_constraints, "critical,CA:TRUE");
  if (X509_sign(cert.get(), &key, EVP_sha256()) == 0) fail("", "a certificate that can be signed");
  return cert;
}

}  // namespace

SelfSigned make_self_signed(const std::string& folder, const std::vector<std::string>& names) {
  namespace fs = std::filesystem;
  SelfSigned result{.cert_file = (fs::path(folder) / "duet-cert.pem").string(),
                    .key_file = (fs::path(folder) / "duet-key.pem").string(),
                    .fingerprint = {}};
  std::error_code error;
  fs::create_directories(folder, error);
  if (fs::exists(result.cert_file, error) && fs::exists(result.key_file, error)) {
    const File file = open(result.cert_file, "r");
    const Cert cert(PEM_read_X509(file.get(), nullptr, nullptr, nullptr));
    if (!cert) fail(result.cert_file, "a PEM certificate");
    result.fingerprint = fingerprint(*cert);
    return result;
  }
  const Key key(EVP_EC_gen("P-256"));
  if (!key) fail("", "a key that can be made");
  const Cert cert = make_cert(*key, names);
  const mode_t mask = ::umask(077);  // The key is for its owner.
  const File key_file(std::fopen(result.key_file.c_str(), "w"));
  ::umask(mask);
  if (!key_file) fail(result.key_file, "a file that can be written");
  const File cert_file = open(result.cert_file, "w");
  if (PEM_write_PrivateKey(key_file.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr) == 0 ||
      PEM_write_X509(cert_file.get(), cert.get()) == 0)
    fail(result.cert_file, "a file that can be written");
  result.fingerprint = fingerprint(*cert);
  return result;
}

}  // namespace duet::server
