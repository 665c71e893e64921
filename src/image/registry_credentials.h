// The node's own credentials: for endpoints that the caller of a pull brought none for, from
// configured files and the helpers that they name. Read at each pull.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "src/image/reference.h"
#include "src/image/registry_endpoint.h"

namespace berth {

struct CredentialSources {
  std::vector<std::string> files;        // Docker's config.json or auth.json; the first that knows
                                         // the host counts, those that do not exist count not
  std::vector<std::string> helper_dirs;  // of docker-credential-*
  std::vector<std::string> helper_env;   // "HTTPS_PROXY=..."
  std::function<bool()> cancelled;       // may be empty
};

// InvalidArgument for a malformed file, errors of reading it, those of a helper.
absl::Status AddNodeCredentials(const Reference& reference, const CredentialSources& sources,
                                std::vector<RegistryEndpoint>* endpoints);

}  // namespace berth
