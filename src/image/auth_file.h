// Credentials on disk: Docker's config.json and containers' auth.json (containers-auth.json(5)),
// which are one format. Pure; secrets never appear in an error.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "src/image/image_store.h"

namespace berth {

struct AuthFile {
  // "reg.test:5000/team" -> what the file says; keys in the form of references, without scheme.
  std::map<std::string, RegistryAuth> auths;
  std::map<std::string, std::string> helpers;  // credHelpers: the same keys -> "ecr-login"
  std::string store;                           // credsStore; "" for none
};

// `name` begins the messages of InvalidArgument.
absl::StatusOr<AuthFile> ParseAuthFile(absl::string_view text, absl::string_view name);

// "user:password" in base64, also with NULs at its end, as some clients pad.
absl::StatusOr<RegistryAuth> DecodeBasicAuth(absl::string_view base64);

// The entry with the longest key that is `host`, or `host` and whole components of `path`.
// helper: the program to ask instead, "" if `auth` is the answer.
struct AuthEntry {
  RegistryAuth auth;
  std::string helper;
};
std::optional<AuthEntry> FindAuth(const AuthFile& file, absl::string_view host,
                                  absl::string_view path);

}  // namespace berth
