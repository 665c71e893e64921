#include "src/copy/container_root.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/mount.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "src/base/sanitized.h"
#include "src/base/status_macros.h"
#include "src/kernel/file.h"
#include "src/kernel/self_confinement.h"

namespace berth {
namespace {

// Of the node's minimal mount namespace (src/runtime/monitor/node_namespace.cc).
constexpr char kDataDir[] = "/data";
constexpr char kRootfsDir[] = "/rootfs";

constexpr std::array kCapabilities = {CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FOWNER, CAP_FSETID,
                                      CAP_SETFCAP};

constexpr rlim_t kMaxData = kSanitized ? RLIM_INFINITY : rlim_t{512} << 20;

const std::vector<ResourceLimit>& Limits() {
  static const std::vector<ResourceLimit> limits = {{RLIMIT_CORE, 0, "RLIMIT_CORE"},
                                                    {RLIMIT_NOFILE, 4096, "RLIMIT_NOFILE"},
                                                    {RLIMIT_DATA, kMaxData, "RLIMIT_DATA"}};
  return limits;
}

absl::Status SetString(int context, const char* key, const std::string& value) {
  if (::syscall(SYS_fsconfig, context, FSCONFIG_SET_STRING, key, value.c_str(), 0) == 0)
    return absl::OkStatus();
  return ErrnoStatus("fsconfig overlay", key);
}

// Highest first, as overlayfs reads them. Without an upper directory of its own (read-only), the
// container's is the highest.
std::vector<std::string> LowerDirs(const CopyRoot& root, bool writable) {
  std::vector<std::string> lower(root.layers.rbegin(), root.layers.rend());
  if (!writable) lower.insert(lower.begin(), root.upper);
  return lower;
}

// Unavailable: this kernel takes no layers one by one (before 6.8).
absl::StatusOr<UniqueFd> OverlayByFsopen(const CopyRoot& root, bool writable) {
  const UniqueFd context(static_cast<int>(::syscall(SYS_fsopen, "overlay", FSOPEN_CLOEXEC)));
  if (!context.valid()) return ErrnoStatus("fsopen", "overlay");
  for (const std::string& layer : LowerDirs(root, writable)) {
    const absl::Status status = SetString(context.get(), "lowerdir+", layer);
    if (absl::IsInvalidArgument(status)) return absl::UnavailableError(status.message());
    RETURN_IF_ERROR(status);
  }
  if (writable) {
    RETURN_IF_ERROR(SetString(context.get(), "upperdir", root.upper));
    RETURN_IF_ERROR(SetString(context.get(), "workdir", root.work));
    if (::syscall(SYS_fsconfig, context.get(), FSCONFIG_SET_FLAG, "volatile", nullptr, 0) != 0)
      return ErrnoStatus("fsconfig overlay", "volatile");
  }
  if (::syscall(SYS_fsconfig, context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0)
    return ErrnoStatus("mount overlay of", root.upper);
  UniqueFd mount(
      static_cast<int>(::syscall(SYS_fsmount, context.get(), FSMOUNT_CLOEXEC,
                                 MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC)));
  if (!mount.valid()) return ErrnoStatus("fsmount", "overlay");
  return mount;
}

absl::StatusOr<UniqueFd> OverlayByMount(const CopyRoot& root, bool writable) {
  std::vector<std::string> lower = LowerDirs(root, writable);
  if (!writable && lower.size() == 1) lower.push_back(lower[0]);  // one alone is refused
  std::string options = absl::StrCat("lowerdir=", absl::StrJoin(lower, ":"));
  if (writable)
    absl::StrAppend(&options, ",upperdir=", root.upper, ",workdir=", root.work, ",volatile");
  if (::mount("overlay", kRootfsDir, "overlay", MS_NOSUID | MS_NODEV | MS_NOEXEC,
              options.c_str()) != 0) {
    return ErrnoStatus("mount overlay of", root.upper);
  }
  return OpenFile(AT_FDCWD, kRootfsDir, O_PATH | O_DIRECTORY);
}

// A mark that keeps an overlay that was mounted `volatile` from being mounted again: it is about
// power cuts, after which no container lives on. Missing is fine.
void RemoveVolatileMark(const std::string& work) {
  ::unlinkat(AT_FDCWD, absl::StrCat(work, "/work/incompat/volatile/dirty").c_str(), 0);
  for (const char* name : {"/work/incompat/volatile", "/work/incompat"})
    ::unlinkat(AT_FDCWD, absl::StrCat(work, name).c_str(), AT_REMOVEDIR);
}

absl::StatusOr<UniqueFd> MountRoot(const CopyRoot& root, bool writable) {
  if (writable && root.read_only)
    return absl::FailedPreconditionError("the container's root file system is read-only");
  if (::chdir(kDataDir) != 0) return ErrnoStatus("chdir", kDataDir);
  if (writable) RemoveVolatileMark(root.work);
  absl::StatusOr<UniqueFd> mounted = OverlayByFsopen(root, writable);
  if (absl::IsUnavailable(mounted.status())) mounted = OverlayByMount(root, writable);
  RETURN_IF_ERROR(mounted.status());
  if (writable) RemoveVolatileMark(root.work);  // for the container's own mount
  if (::chdir("/") != 0) return ErrnoStatus("chdir", "/");
  return mounted;
}

absl::Status EnterUserNamespace(int pid) {
  struct stat own, other;
  const std::string path = absl::StrCat("/proc/", pid, "/ns/user");
  if (::stat("/proc/self/ns/user", &own) != 0 || ::stat(path.c_str(), &other) != 0)
    return ErrnoStatus("stat", path);
  if (own.st_ino == other.st_ino) return absl::OkStatus();
  ASSIGN_OR_RETURN(const UniqueFd user, OpenFile(AT_FDCWD, path, O_RDONLY));
  if (::setgroups(0, nullptr) != 0) return ErrnoStatus("setgroups", "none");
  if (::setns(user.get(), CLONE_NEWUSER) != 0) return ErrnoStatus("setns", path);
  if (::setresgid(0, 0, 0) != 0 || ::setresuid(0, 0, 0) != 0)
    return ErrnoStatus("setresuid", "root of the container");
  return absl::OkStatus();
}

// The path is the kernel's own; that it is still about the same process is asked afterwards.
absl::StatusOr<UniqueFd> OpenRootOf(int pid) {
  ASSIGN_OR_RETURN(UniqueFd root,
                   OpenFile(AT_FDCWD, absl::StrCat("/proc/", pid, "/root"), O_PATH | O_DIRECTORY));
  RETURN_IF_ERROR(EnterUserNamespace(pid));
  if (::syscall(SYS_pidfd_send_signal, kCopyPidFd, 0, nullptr, 0) != 0 && errno != EPERM)
    return absl::FailedPreconditionError("the container has just ended");
  return root;
}

absl::Status GiveUpTheRest() {
  RETURN_IF_ERROR(SetResourceLimits(Limits()));
  RETURN_IF_ERROR(KeepCapabilities({kCapabilities.begin(), kCapabilities.end()}));
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
    return ErrnoStatus("prctl", "PR_SET_NO_NEW_PRIVS");
  return LoadCopySyscallFilter();
}

}  // namespace

absl::StatusOr<UniqueFd> EnterContainerRoot(const CopyRoot& root, bool writable) {
  if (::setns(kCopyNodeNamespaceFd, CLONE_NEWNS) != 0)
    return ErrnoStatus("setns", "the node's mount namespace");
  RETURN_IF_ERROR(EnterOwnMounts());
  absl::StatusOr<UniqueFd> opened =
      root.pid != 0 ? OpenRootOf(root.pid) : MountRoot(root, writable);
  RETURN_IF_ERROR(opened.status());
  ::close(kCopyNodeNamespaceFd);
  ::close(kCopyPidFd);
  RETURN_IF_ERROR(GiveUpTheRest());
  return opened;
}

}  // namespace berth
