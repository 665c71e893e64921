// Which extended attributes of a layer's files are kept: security.capability and user.*; never
// those that overlayfs, the integrity subsystem or SELinux believe in (security.md S-62).
#pragma once

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "src/image/pull/tar.h"

namespace berth {

bool IsKeptXattr(absl::string_view name);

// Sets the kept ones on an open file or directory. A file system without user.* attributes is no
// error.
absl::Status SetXattrs(int fd, const TarEntry& entry, absl::string_view path);

// overlayfs: hides what the layers below hold in this directory (trusted.overlay.opaque=y; needs
// CAP_SYS_ADMIN).
absl::Status SetOpaque(int directory, absl::string_view path);

}  // namespace berth
