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

absl::Status SetXattrs(int fd, const TarEntry& entry, absl::string_view path) {
  for (const auto& [name, value] : entry.xattrs) {
    if (!IsKeptXattr(name)) continue;
    if (::fsetxattr(fd, name.c_str(), value.data(), value.size(), 0) == 0) continue;
    if (errno == EOPNOTSUPP && absl::StartsWith(name, "user.")) continue;
    return EntryError(absl::StrCat("setxattr ", EscapeForLog(name), " of"), path);
  }
  return absl::OkStatus();
}

absl::Status SetOpaque(int directory, absl::string_view path) {
  if (::fsetxattr(directory, "trusted.overlay.opaque", "y", 1, 0) == 0) return absl::OkStatus();
  return EntryError("setxattr trusted.overlay.opaque of", path);
}

}  // namespace berth
