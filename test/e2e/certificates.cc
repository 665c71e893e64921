#include "test/e2e/certificates.h"

#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#include <functional>

#include "absl/strings/str_cat.h"

namespace berth::e2e {
namespace {

constexpr int kKeyBits = 2048;
constexpr long kHour = 3600;

std::string PemOf(const std::function<int(BIO*)>& write) {
  const std::unique_ptr<BIO, int (*)(BIO*)> bio(BIO_new(BIO_s_mem()), BIO_free);
  if (write(bio.get()) != 1) return "";
  char* bytes = nullptr;
  const long length = BIO_get_mem_data(bio.get(), &bytes);
  return std::string(bytes, static_cast<size_t>(length));
}

bool AddExtension(X509* certificate, int nid, const char* value) {
  const std::unique_ptr<X509_EXTENSION, void (*)(X509_EXTENSION*)> extension(
      X509V3_EXT_conf_nid(nullptr, nullptr, nid, value), X509_EXTENSION_free);
  return extension != nullptr && X509_add_ext(certificate, extension.get(), -1) == 1;
}

}  // namespace

absl::StatusOr<Certificate> Certificate::Make(const std::string& name, const Certificate* issuer) {
  Certificate made;
  made.key_.reset(EVP_RSA_gen(kKeyBits));
  made.certificate_.reset(X509_new());
  X509* const x509 = made.certificate_.get();
  uint32_t serial = 0;
  bool ok = made.key_ != nullptr && x509 != nullptr &&
            RAND_bytes(reinterpret_cast<unsigned char*>(&serial), sizeof serial) == 1 &&
            ASN1_INTEGER_set_uint64(X509_get_serialNumber(x509), uint64_t{serial} + 1) == 1 &&
            X509_set_version(x509, X509_VERSION_3) == 1 &&
            X509_gmtime_adj(X509_getm_notBefore(x509), -kHour) != nullptr &&
            X509_gmtime_adj(X509_getm_notAfter(x509), 24 * kHour) != nullptr &&
            X509_set_pubkey(x509, made.key_.get()) == 1 &&
            X509_NAME_add_entry_by_txt(X509_get_subject_name(x509), "CN", MBSTRING_UTF8,
                                       reinterpret_cast<const unsigned char*>(name.data()),
                                       static_cast<int>(name.size()), -1, 0) == 1;
  const Certificate& signer = issuer == nullptr ? made : *issuer;
  ok = ok && X509_set_issuer_name(x509, X509_get_subject_name(signer.certificate_.get())) == 1;
  if (issuer == nullptr) {
    ok = ok && AddExtension(x509, NID_basic_constraints, "critical,CA:TRUE");
  } else {
    ok = ok && AddExtension(x509, NID_subject_alt_name, "IP:127.0.0.1,DNS:localhost") &&
         AddExtension(x509, NID_ext_key_usage, "serverAuth,clientAuth");
  }
  ok = ok && X509_sign(x509, signer.key_.get(), EVP_sha256()) > 0;
  if (!ok) return absl::InternalError(absl::StrCat("make certificate ", name, ": libcrypto"));
  return made;
}

absl::StatusOr<Certificate> Certificate::Authority(const std::string& name) {
  return Make(name, nullptr);
}

absl::StatusOr<Certificate> Certificate::Sign(const std::string& name) const {
  return Make(name, this);
}

std::string Certificate::Pem() const {
  return PemOf([&](BIO* bio) { return PEM_write_bio_X509(bio, certificate_.get()); });
}

std::string Certificate::KeyPem() const {
  return PemOf([&](BIO* bio) {
    return PEM_write_bio_PrivateKey(bio, key_.get(), nullptr, nullptr, 0, nullptr, nullptr);
  });
}

std::string Certificate::Der() const {
  unsigned char* bytes = nullptr;
  const int length = i2d_X509(certificate_.get(), &bytes);
  std::string der(reinterpret_cast<char*>(bytes), static_cast<size_t>(length));
  OPENSSL_free(bytes);
  return der;
}

std::string Certificate::SignBytes(const std::string& bytes) const {
  const std::unique_ptr<EVP_MD_CTX, void (*)(EVP_MD_CTX*)> context(EVP_MD_CTX_new(),
                                                                   EVP_MD_CTX_free);
  std::string signature(static_cast<size_t>(EVP_PKEY_get_size(key_.get())), '\0');
  size_t length = signature.size();
  const bool ok =
      EVP_DigestSignInit(context.get(), nullptr, EVP_sha256(), nullptr, key_.get()) == 1 &&
      EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(signature.data()), &length,
                     reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size()) == 1;
  signature.resize(ok ? length : 0);
  return signature;
}

}  // namespace berth::e2e
