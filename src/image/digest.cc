#include "src/image/digest.h"

#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <cstdlib>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "src/base/log.h"

namespace berth {
namespace {

struct Algorithm {
  absl::string_view name;
  size_t hex_length;
  const EVP_MD* (*method)();
};
constexpr std::array kAlgorithms = {Algorithm{"sha256", 64, EVP_sha256},
                                    Algorithm{"sha512", 128, EVP_sha512}};

const Algorithm* FindAlgorithm(absl::string_view name) {
  for (const Algorithm& algorithm : kAlgorithms) {
    if (algorithm.name == name) return &algorithm;
  }
  return nullptr;
}

}  // namespace

bool IsLowerHex(absl::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return absl::ascii_isdigit(c) || (c >= 'a' && c <= 'f'); });
}

absl::StatusOr<Digest> Digest::Parse(absl::string_view text) {
  const size_t colon = text.find(':');
  const Algorithm* algorithm =
      colon == absl::string_view::npos ? nullptr : FindAlgorithm(text.substr(0, colon));
  if (algorithm == nullptr || text.size() != colon + 1 + algorithm->hex_length ||
      !IsLowerHex(text.substr(colon + 1))) {
    return absl::InvalidArgumentError(
        absl::StrCat("parse digest \"", EscapeForLog(text.substr(0, 160)),
                     "\": expected sha256: and 64, or sha512: and 128 lower-case hex characters"));
  }
  return Digest(std::string(text));
}

Digest Digest::Sha256(absl::string_view bytes) {
  Hasher hasher;
  hasher.Update(bytes);
  return hasher.Finish();
}

absl::string_view Digest::algorithm() const {
  return absl::string_view(text_).substr(0, text_.find(':'));
}

void Hasher::Free::operator()(evp_md_ctx_st* context) const { EVP_MD_CTX_free(context); }

Hasher::Hasher(absl::string_view algorithm) : algorithm_(algorithm), context_(EVP_MD_CTX_new()) {
  const Algorithm* known = FindAlgorithm(algorithm);
  // Only a Digest's own algorithm reaches this point, and OpenSSL has had both built in since
  // 0.9.8.
  if (known == nullptr || EVP_DigestInit_ex(context_.get(), known->method(), nullptr) != 1)
    std::abort();
}

void Hasher::Update(absl::string_view bytes) {
  if (EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()) != 1) std::abort();
}

Digest Hasher::Finish() {
  unsigned char raw[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  if (EVP_DigestFinal_ex(context_.get(), raw, &size) != 1) std::abort();
  context_.reset();
  return Digest(absl::StrCat(algorithm_, ":",
                             absl::BytesToHexString({reinterpret_cast<const char*>(raw), size})));
}

}  // namespace berth
