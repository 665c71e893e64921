// Which extended attributes of a layer's files are kept: security.capability and user.*; never
// those that overlayfs, the integrity subsystem or SELinux believe in.
#pragma once

#include <map>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace berth {

using XattrMap = std::map<std::string, std::string>;  // name -> bytes

bool IsKeptXattr(absl::string_view name);

// Sets the kept ones on an open file or directory, and returns those that are there now: a file
// system without user.* attributes is no error.
absl::StatusOr<XattrMap> SetXattrs(int fd, const XattrMap& xattrs, absl::string_view path);

inline constexpr char kOpaqueXattr[] = "trusted.overlay.opaque";

// overlayfs: hides what the layers below hold in this directory (trusted.overlay.opaque=y; needs
// CAP_SYS_ADMIN).
absl::Status SetOpaque(int directory, absl::string_view path);

}  // namespace berth
