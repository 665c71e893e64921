// Docker's credential helpers (docker/docker-credential-helpers): programs named
// docker-credential-NAME that answer `get` with a user name and a secret.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "src/image/image_store.h"

namespace berth {

struct CredentialHelper {
  std::string name;               // "ecr-login"
  std::vector<std::string> dirs;  // where it is looked for, absolute
  std::vector<std::string> env;   // nothing is inherited; PATH and HOME are added
  absl::Duration deadline = absl::Seconds(30);
  std::function<bool()> cancelled;  // may be empty
};

// What the helper knows about `host` ("docker.io" is asked for by Docker's name for it); nothing if
// it knows none. FailedPrecondition names a helper that is missing, fails, takes too long or
// answers nonsense: never with what it said, which may be a secret. Cancelled.
absl::StatusOr<std::optional<RegistryAuth>> AskCredentialHelper(const CredentialHelper& helper,
                                                                const std::string& host);

}  // namespace berth
