#include "src/stream/confine.h"

#include <fcntl.h>
#include <grp.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "src/base/sanitized.h"
#include "src/base/status_macros.h"
#include "src/kernel/landlock.h"
#include "src/kernel/self_confinement.h"
#include "src/stream/allowed_syscalls.h"

namespace berth {
namespace {

constexpr uid_t kNobody = 65534;

constexpr rlim_t kMaxData = kSanitized ? RLIM_INFINITY : rlim_t{128} << 20;

// An empty directory that nothing can be made in, as the whole file system.
absl::Status EnterEmptyRoot() {
  RETURN_IF_ERROR(EnterOwnMounts());
  ASSIGN_OR_RETURN(const UniqueFd root, DetachedTmpfs("4k"));
  // /proc, which exists everywhere, only lends it a place to be mounted on.
  RETURN_IF_ERROR(AttachMount(root.get(), AT_FDCWD, "/proc"));
  return PivotInto(root.get());
}

absl::Status BecomeNobody() {
  if (::setgroups(0, nullptr) != 0) return ErrnoStatus("setgroups", "none");
  if (::setresgid(kNobody, kNobody, kNobody) != 0) return ErrnoStatus("setresgid", "nobody");
  // With it go all capabilities.
  if (::setresuid(kNobody, kNobody, kNobody) != 0) return ErrnoStatus("setresuid", "nobody");
  return absl::OkStatus();
}

}  // namespace

absl::Status ConfineStream() {
  RETURN_IF_ERROR(EnterEmptyRoot());
  RETURN_IF_ERROR(SetResourceLimits({
      {RLIMIT_CORE, 0, "RLIMIT_CORE"},
      {RLIMIT_NOFILE, 1024, "RLIMIT_NOFILE"},
      {RLIMIT_DATA, kMaxData, "RLIMIT_DATA"},
  }));
  RETURN_IF_ERROR(KeepBoundingSet({}));
  RETURN_IF_ERROR(BecomeNobody());
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
    return ErrnoStatus("prctl", "PR_SET_NO_NEW_PRIVS");
  RETURN_IF_ERROR(RestrictFileAccess({}).status());
  if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return ErrnoStatus("prctl", "PR_SET_DUMPABLE");
  return AllowSyscallsOfSessions();
}

}  // namespace berth
