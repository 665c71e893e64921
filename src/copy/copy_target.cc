#include "src/copy/copy_target.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "src/base/log.h"
#include "src/base/status_macros.h"

namespace berth {
namespace {

constexpr int kMaxLinks = 40;     // as the kernel
constexpr int kMaxRetries = 100;  // of a resolution that renames have disturbed

absl::Status Failed(absl::string_view call, absl::string_view path, int error) {
  const absl::Status status = ErrnoStatus(call, EscapeForLog(path.substr(0, 512)), error);
  return error == ENOTDIR || error == ELOOP ? absl::FailedPreconditionError(status.message())
                                            : status;
}

absl::StatusOr<UniqueFd> OpenInRoot(int root, const std::string& path, int flags) {
  struct open_how how = {};
  how.flags = static_cast<uint64_t>(O_PATH | O_CLOEXEC | flags);
  how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
  for (int tries = 0; tries < kMaxRetries; ++tries) {
    UniqueFd fd(static_cast<int>(::syscall(SYS_openat2, root, path.c_str(), &how, sizeof(how))));
    if (fd.valid()) return fd;
    if (errno != EAGAIN) break;
  }
  return Failed("open", path, errno);
}

absl::StatusOr<std::string> ReadLinkAt(int node, absl::string_view path) {
  std::string target(PATH_MAX, '\0');
  const ssize_t n = ::readlinkat(node, "", target.data(), target.size());
  if (n < 0) return Failed("readlink", path, errno);
  target.resize(static_cast<size_t>(n));
  return target;
}

absl::StatusOr<CopyTarget> OpenDirectoryTarget(int root, const std::string& path) {
  CopyTarget target{.is_root = true};
  ASSIGN_OR_RETURN(target.node, OpenInRoot(root, path, O_DIRECTORY));
  if (::fstat(target.node.get(), &target.st) != 0) return Failed("stat", path, errno);
  return target;
}

}  // namespace

absl::StatusOr<CopyTarget> ResolveInRoot(int root, const std::string& path, LastLink last) {
  std::string now = path;
  for (int links = 0; links <= kMaxLinks; ++links) {
    while (now.size() > 1 && absl::EndsWith(now, "/")) now.pop_back();
    ParentAndName parts = SplitPath(now);
    if (parts.name.empty() || parts.name == "." || parts.name == "..")
      return OpenDirectoryTarget(root, now);
    CopyTarget target{.name = parts.name};
    ASSIGN_OR_RETURN(target.parent, OpenInRoot(root, parts.parent, O_DIRECTORY));
    target.node.reset(
        ::openat(target.parent.get(), parts.name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
    if (!target.node.valid() && errno == ENOENT) return target;
    if (!target.node.valid()) return Failed("open", now, errno);
    if (::fstat(target.node.get(), &target.st) != 0) return Failed("stat", now, errno);
    if (!S_ISLNK(target.st.st_mode) || last == LastLink::kKeep) return target;
    ASSIGN_OR_RETURN(const std::string link, ReadLinkAt(target.node.get(), now));
    now = absl::StartsWith(link, "/") ? link : absl::StrCat(parts.parent, "/", link);
  }
  return Failed("open", path, ELOOP);
}

}  // namespace berth
