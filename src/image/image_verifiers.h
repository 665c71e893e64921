// Programs of the operator that may refuse an image before a layer of it is fetched. The contract
// is that of containerd's io.containerd.image-verifier.v1.bindir: every executable of a directory
// is run as `PROGRAM -name REFERENCE -digest DIGEST -stdin-media-type
// application/vnd.oci.descriptor.v1+json` with the descriptor on its standard input; exit code 0
// accepts, its standard output is the reason. Unlike there, a directory that cannot be read
// refuses.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"

namespace berth {

struct ImageVerifiers {
  std::string dir;                  // "" for none
  std::vector<std::string> env;     // of the programs; nothing is inherited
  std::function<bool()> cancelled;  // may be empty
};

// What the reference was resolved to: an index or a manifest.
struct VerifiedImage {
  std::string name, digest, media_type;
  int64_t bytes = 0;
};

// PermissionDenied, beginning "SignatureValidationFailed" (cri-api errors.go), if one does not
// accept it, takes longer than 10 s or cannot be run; Cancelled.
absl::Status AskImageVerifiers(const ImageVerifiers& verifiers, const VerifiedImage& image);

}  // namespace berth
