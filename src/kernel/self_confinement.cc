#include "src/kernel/self_confinement.h"

#include <linux/capability.h>
#include <linux/mount.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "src/base/status_macros.h"

namespace berth {

absl::Status EnterOwnMounts() {
  if (::unshare(CLONE_NEWNS) != 0) return ErrnoStatus("unshare", "mount namespace");
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0)
    return ErrnoStatus("mount private", "/");
  return absl::OkStatus();
}

absl::StatusOr<UniqueFd> DetachedTmpfs(const std::string& size) {
  UniqueFd context(static_cast<int>(::syscall(SYS_fsopen, "tmpfs", FSOPEN_CLOEXEC)));
  if (!context.valid()) return ErrnoStatus("fsopen", "tmpfs");
  const auto set = [&](const char* key, const char* value) {
    return ::syscall(SYS_fsconfig, context.get(), FSCONFIG_SET_STRING, key, value, 0);
  };
  if (set("size", size.c_str()) != 0 || set("mode", "0700") != 0 ||
      ::syscall(SYS_fsconfig, context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0) {
    return ErrnoStatus("fsconfig", "tmpfs");
  }
  constexpr unsigned kAttributes = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
  UniqueFd mount(
      static_cast<int>(::syscall(SYS_fsmount, context.get(), FSMOUNT_CLOEXEC, kAttributes)));
  if (!mount.valid()) return ErrnoStatus("fsmount", "tmpfs");
  return mount;
}

absl::Status AttachMount(int mount, int target_dir, const char* target) {
  if (::syscall(SYS_move_mount, mount, "", target_dir, target, MOVE_MOUNT_F_EMPTY_PATH) == 0)
    return absl::OkStatus();
  return ErrnoStatus("move_mount", target);
}

absl::Status PivotInto(int root) {
  if (::fchdir(root) != 0) return ErrnoStatus("fchdir", "the new root");
  if (::syscall(SYS_pivot_root, ".", ".") != 0) return ErrnoStatus("pivot_root", "the new root");
  if (::umount2(".", MNT_DETACH) != 0) return ErrnoStatus("umount", "the old root");
  if (::chdir("/") != 0) return ErrnoStatus("chdir", "/");
  if (::mount(nullptr, "/", nullptr,
              MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr) != 0) {
    return ErrnoStatus("remount", "/");
  }
  return absl::OkStatus();
}

absl::Status KeepBoundingSet(const std::vector<int>& kept) {
  for (int capability = 0; ::prctl(PR_CAPBSET_READ, capability) >= 0; ++capability) {
    if (std::find(kept.begin(), kept.end(), capability) == kept.end() &&
        ::prctl(PR_CAPBSET_DROP, capability) != 0) {
      return ErrnoStatus("prctl PR_CAPBSET_DROP", absl::StrCat("capability ", capability));
    }
  }
  return absl::OkStatus();
}

absl::Status KeepCapabilities(const std::vector<int>& kept) {
  RETURN_IF_ERROR(KeepBoundingSet(kept));
  __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3] = {};
  for (const int capability : kept) {
    sets[CAP_TO_INDEX(capability)].permitted |= CAP_TO_MASK(capability);
    sets[CAP_TO_INDEX(capability)].effective |= CAP_TO_MASK(capability);
  }
  if (::syscall(SYS_capset, &header, sets) != 0) return ErrnoStatus("capset", "this thread");
  return absl::OkStatus();
}

absl::Status SetResourceLimits(const std::vector<ResourceLimit>& limits) {
  for (const ResourceLimit& limit : limits) {
    const struct rlimit value = {limit.limit, limit.limit};
    if (::setrlimit(limit.resource, &value) != 0) return ErrnoStatus("setrlimit", limit.name);
  }
  return absl::OkStatus();
}

}  // namespace berth
