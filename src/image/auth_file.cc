#include "src/image/auth_file.h"

#include <algorithm>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "src/base/json_fields.h"
#include "src/base/status_macros.h"
#include "src/base/strict_json.h"
#include "src/image/registry_auth.h"

namespace berth {
namespace {

using Json = nlohmann::json;

constexpr JsonLimits kLimits = {.bytes = 1 << 20, .depth = 16};

// "https://index.docker.io/v1/" -> "docker.io", "reg.test:5000/team/" -> "reg.test:5000/team": the
// path of a URL is that of an API and not of a repository.
std::string KeyOf(absl::string_view key) {
  const bool url = absl::StrContains(key, "://");
  std::string host = RegistryHostOf(key);
  const size_t slash = key.find('/');
  if (url || slash == absl::string_view::npos) return host;
  return absl::StrCat(host, absl::StripSuffix(key.substr(slash), "/"));
}

absl::StatusOr<RegistryAuth> EntryOf(const Json& json) {
  RegistryAuth auth;
  ASSIGN_OR_RETURN(const std::string combined, StringMember(json, "auth"));
  if (!combined.empty()) {
    absl::StatusOr<RegistryAuth> basic = DecodeBasicAuth(combined);
    if (!basic.ok()) return Annotate(basic.status(), "auth");
    auth = *std::move(basic);
  }
  ASSIGN_OR_RETURN(const std::string username, StringMember(json, "username"));
  ASSIGN_OR_RETURN(const std::string password, StringMember(json, "password"));
  if (!username.empty()) auth.username = username;
  if (!password.empty()) auth.password = password;
  ASSIGN_OR_RETURN(auth.identity_token, StringMember(json, "identitytoken"));
  ASSIGN_OR_RETURN(auth.registry_token, StringMember(json, "registrytoken"));
  return auth;
}

// "reg/a/b", "reg/a", "reg"
template <typename Value>
const Value* LongestMatch(const std::map<std::string, Value>& entries, std::string key) {
  while (true) {
    if (const auto found = entries.find(key); found != entries.end()) return &found->second;
    const size_t slash = key.rfind('/');
    if (slash == std::string::npos) return nullptr;
    key.resize(slash);
  }
}

absl::StatusOr<AuthFile> FileOf(const Json& json) {
  AuthFile file;
  if (!json.is_object()) return absl::InvalidArgumentError("no JSON object");
  if (const Json* auths = FindMember(json, "auths"); auths != nullptr) {
    if (!auths->is_object()) return absl::InvalidArgumentError("auths: no object");
    for (const auto& [key, entry] : auths->items()) {
      absl::StatusOr<RegistryAuth> auth = EntryOf(entry);
      if (!auth.ok()) return Annotate(auth.status(), absl::StrCat("auths \"", key, "\""));
      // An empty entry says that the store has it.
      if (!IsAnonymous(*auth)) file.auths[KeyOf(key)] = *std::move(auth);
    }
  }
  std::map<std::string, std::string> helpers;
  ASSIGN_OR_RETURN(helpers, StringMapMember(json, "credHelpers"));
  for (auto& [key, helper] : helpers) file.helpers[KeyOf(key)] = std::move(helper);
  ASSIGN_OR_RETURN(file.store, StringMember(json, "credsStore"));
  return file;
}

}  // namespace

absl::StatusOr<RegistryAuth> DecodeBasicAuth(absl::string_view base64) {
  std::string decoded;
  if (!absl::Base64Unescape(base64, &decoded)) {
    return absl::InvalidArgumentError("is not user:password in base64");
  }
  const size_t colon = decoded.find(':');
  RegistryAuth auth{.username = decoded.substr(0, colon)};
  if (colon != std::string::npos) auth.password = decoded.substr(colon + 1);
  auth.password.erase(std::find(auth.password.begin(), auth.password.end(), '\0'),
                      auth.password.end());
  return auth;
}

absl::StatusOr<AuthFile> ParseAuthFile(absl::string_view text, absl::string_view name) {
  ASSIGN_OR_RETURN(const Json json, ParseStrictJson(text, kLimits, name));
  absl::StatusOr<AuthFile> file = FileOf(json);
  if (!file.ok()) return Annotate(file.status(), name);
  return file;
}

std::optional<AuthEntry> FindAuth(const AuthFile& file, absl::string_view host,
                                  absl::string_view path) {
  const std::string key = absl::StrCat(host, "/", path);
  if (const std::string* helper = LongestMatch(file.helpers, key);
      helper != nullptr && !helper->empty()) {
    return AuthEntry{.helper = *helper};
  }
  if (const RegistryAuth* auth = LongestMatch(file.auths, key); auth != nullptr) {
    return AuthEntry{.auth = *auth};
  }
  if (!file.store.empty()) return AuthEntry{.helper = file.store};
  return std::nullopt;
}

}  // namespace berth
