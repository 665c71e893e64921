#include "src/image/pull/layer_xattr.h"

#include <sys/xattr.h>

#include <cerrno>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "src/base/log.h"
#include "src/image/pull/layer_path.h"

namespace berth {

bool IsKeptXattr(absl::string_view name) {
  if (name == "security.capability") return true;
  return absl::StartsWith(name, "user.") && !absl::StartsWith(name, "user.overlay.");
}

absl::StatusOr<XattrMap> SetXattrs(int fd, const XattrMap& xattrs, absl::string_view path) {
  XattrMap kept;
  for (const auto& [name, value] : xattrs) {
    if (!IsKeptXattr(name)) continue;
    if (::fsetxattr(fd, name.c_str(), value.data(), value.size(), 0) == 0) {
      kept.emplace(name, value);
    } else if (errno != EOPNOTSUPP || !absl::StartsWith(name, "user.")) {
      return EntryError(absl::StrCat("setxattr ", EscapeForLog(name), " of"), path);
    }
  }
  return kept;
}

absl::Status SetOpaque(int directory, absl::string_view path) {
  if (::fsetxattr(directory, kOpaqueXattr, "y", 1, 0) == 0) return absl::OkStatus();
  return EntryError("setxattr trusted.overlay.opaque of", path);
}

}  // namespace berth
