// Which endpoint gets which credentials: never one that they were not given for. Pure.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "src/image/reference.h"
#include "src/image/registry_endpoint.h"

namespace berth {

// True if nothing in `auth` could prove anything.
bool IsAnonymous(const RegistryAuth& auth);

// "https://index.docker.io/v1/", "registry-1.docker.io" -> "docker.io"; "http://h:5000/x" ->
// "h:5000": a server's name as references have it.
std::string RegistryHostOf(absl::string_view address);

// Hands `auth` to the endpoints that it is for: without a server_address those on the image's own
// host, else those on the host that it names. Other endpoints keep what they have.
void GiveCredentials(const Reference& reference, const RegistryAuth& auth,
                     std::vector<RegistryEndpoint>* endpoints);

}  // namespace berth
