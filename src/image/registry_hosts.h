// Where a registry's images come from: containerd's certs.d/<host[:port]>/hosts.toml and _default
// (containerd's docs/hosts.md), or the certificates that Docker keeps in the same place. Reads
// files; keeps nothing, so that a change counts from the next pull on.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "src/image/registry_endpoint.h"

namespace berth {

struct RegistryHostsOptions {
  std::vector<std::string> certs_dirs;  // the first that knows the host counts, then _default
  bool plain_http = false;              // also for hosts that are not on loopback
};

// The registry without any file about it: https, or plain HTTP on loopback and where `plain_http`.
RegistryEndpoint RegistryItself(absl::string_view host, bool plain_http);

// The endpoints for images of `host` ("docker.io", "localhost:5000"), in the order in which they
// are to be asked: mirrors as the file lists them, the registry itself last. Without a file the
// registry alone: https, or plain HTTP on loopback. InvalidArgument for a file that says something
// unknown or senseless ("hosts.toml <path>:<line>: <cause>"); errors of reading a file it names.
absl::StatusOr<std::vector<RegistryEndpoint>> LoadRegistryEndpoints(
    absl::string_view host, const RegistryHostsOptions& options);

}  // namespace berth
