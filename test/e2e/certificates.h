// X.509 certificates for tests, made by libcrypto: an authority of the test's own, and what it
// signs.
#pragma once

#include <memory>
#include <string>

#include <openssl/evp.h>
#include <openssl/x509.h>

#include "absl/status/statusor.h"

namespace berth::e2e {

class Certificate {
 public:
  // Self-signed, with an RSA key, and allowed to sign others.
  static absl::StatusOr<Certificate> Authority(const std::string& name);
  // For a server on 127.0.0.1 (and localhost), and for a client.
  absl::StatusOr<Certificate> Sign(const std::string& name) const;

  std::string Pem() const;
  std::string KeyPem() const;
  std::string Der() const;
  // RSASSA-PKCS1-v1_5 with SHA-256 (RS256 of RFC 7518).
  std::string SignBytes(const std::string& bytes) const;

 private:
  struct Free {
    void operator()(X509* certificate) const { X509_free(certificate); }
    void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
  };
  static absl::StatusOr<Certificate> Make(const std::string& name, const Certificate* issuer);

  std::unique_ptr<X509, Free> certificate_;
  std::unique_ptr<EVP_PKEY, Free> key_;
};

}  // namespace berth::e2e
