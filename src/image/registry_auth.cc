#include "src/image/registry_auth.h"

#include "absl/strings/ascii.h"
#include "absl/strings/strip.h"

namespace berth {

bool IsAnonymous(const RegistryAuth& auth) {
  return auth.username.empty() && auth.password.empty() && auth.identity_token.empty() &&
         auth.registry_token.empty();
}

std::string RegistryHostOf(absl::string_view address) {
  const bool https = absl::ConsumePrefix(&address, "https://");
  const bool http = !https && absl::ConsumePrefix(&address, "http://");
  absl::string_view authority = address.substr(0, address.find('/'));
  if (https) authority = absl::StripSuffix(authority, ":443");
  if (http) authority = absl::StripSuffix(authority, ":80");
  std::string host = absl::AsciiStrToLower(authority);
  if (host == "index.docker.io" || host == "registry-1.docker.io") return "docker.io";
  return host;
}

void GiveCredentials(const Reference& reference, const RegistryAuth& auth,
                     std::vector<RegistryEndpoint>* endpoints) {
  const std::string wanted = RegistryHostOf(
      auth.server_address.empty() ? absl::string_view(reference.host) : auth.server_address);
  for (RegistryEndpoint& endpoint : *endpoints) {
    if (RegistryHostOf(endpoint.url) == wanted) endpoint.auth = auth;
  }
}

}  // namespace berth
