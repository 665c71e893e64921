// What a person calls an image: "busybox", "localhost:5000/team/app:v2", "ghcr.io/a/b@sha256:...".
// The grammar and the normal form are those that Docker's users know (docker.io and library/ are
// filled in). Pure.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "src/image/digest.h"

namespace berth {

// The normal form: exactly one of `tag` and `digest` is set.
struct Reference {
  std::string host;  // "docker.io", "localhost:5000", "[::1]:5000"
  std::string path;  // "library/busybox"
  std::string tag;
  Digest digest;

  std::string Repository() const;  // "docker.io/library/busybox"
  std::string Name() const;        // Repository() + ":tag" or "@digest"
  // What stands after /manifests/ in a URL.
  std::string Selector() const { return digest.empty() ? tag : digest.text(); }
};

// Neither tag nor digest means ":latest"; both mean the digest. InvalidArgument quotes the text and
// says what is wrong with it; a bare 64-character hex string is an image id and not a name, hence
// InvalidArgument.
absl::StatusOr<Reference> ParseReference(absl::string_view text);

// True for localhost, 127.0.0.0/8 and ::1, with or without a port: the hosts that may speak plain
// HTTP.
bool IsLoopbackHost(absl::string_view host_and_port);

// "host:port" -> "host", "[::1]:80" -> "::1"
absl::string_view HostWithoutPort(absl::string_view host_and_port);

}  // namespace berth
