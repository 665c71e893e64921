// The token service that a registry names in a challenge (distribution's token authentication):
// GET with a password or nothing, POST of OAuth2 with an identity token.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "src/image/image_store.h"
#include "src/image/pull/challenge.h"
#include "src/image/pull/http.h"
#include "src/image/pull/url.h"

namespace berth {

struct TokenRequest {
  Url registry;            // that named the realm
  std::string repository;  // the token is asked for this one alone, whatever the challenge says
  RegistryAuth auth;
  const HttpTls* tls = nullptr;          // of the registry's own host, borrowed
  const HttpTls* foreign_tls = nullptr;  // of other hosts, borrowed
  absl::Duration connect_timeout;
};

// PermissionDenied for a realm that the registry must not send us to (CheckDestination);
// Unauthenticated if the service refuses or gives no token; Unavailable.
absl::StatusOr<std::string> FetchToken(Http& http, const TokenRequest& request,
                                       const Challenge& challenge);

}  // namespace berth
