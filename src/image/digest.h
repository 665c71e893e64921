// A content digest as OCI writes it ("sha256:<hex>") and the incremental hash that computes it. A
// Digest holds only what Parse accepted, so it is safe as a file name, a map key and part of a URL.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

struct evp_md_ctx_st;

namespace berth {

// True if all characters are 0-9 a-f; also for "".
bool IsLowerHex(absl::string_view text);

class Digest {
 public:
  Digest() = default;  // empty: no digest

  // "sha256:" + 64 or "sha512:" + 128 lower-case hex characters and nothing else; else
  // InvalidArgument.
  static absl::StatusOr<Digest> Parse(absl::string_view text);
  // Of the whole of `bytes`, with sha256.
  static Digest Sha256(absl::string_view bytes);

  const std::string& text() const { return text_; }  // "sha256:<hex>", "" if empty
  absl::string_view algorithm() const;               // "sha256"
  bool empty() const { return text_.empty(); }

  friend bool operator==(const Digest& a, const Digest& b) { return a.text_ == b.text_; }
  friend bool operator!=(const Digest& a, const Digest& b) { return a.text_ != b.text_; }
  friend bool operator<(const Digest& a, const Digest& b) { return a.text_ < b.text_; }

 private:
  friend class Hasher;
  explicit Digest(std::string text) : text_(std::move(text)) {}

  std::string text_;
};

// Hashes a stream. One owner thread.
class Hasher {
 public:
  // `algorithm` is that of a Digest ("sha256", "sha512").
  explicit Hasher(absl::string_view algorithm = "sha256");
  Hasher(Hasher&&) noexcept = default;
  Hasher& operator=(Hasher&&) noexcept = default;

  void Update(absl::string_view bytes);
  // The digest of all bytes so far; the hasher is spent afterwards.
  Digest Finish();

 private:
  struct Free {
    void operator()(evp_md_ctx_st* context) const;
  };
  std::string algorithm_;
  std::unique_ptr<evp_md_ctx_st, Free> context_;
};

}  // namespace berth
