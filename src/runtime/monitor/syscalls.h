// System calls that musl has no wrapper for. Each returns -1 and sets errno, as libc does.
#pragma once

#include <fcntl.h>
#include <linux/openat2.h>
#include <linux/sched.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>

namespace berth::monitor::sys {

// uapi/linux/mount.h, which cannot be included beside musl's sys/mount.h.
inline constexpr unsigned kFsopenCloexec = 1, kFsmountCloexec = 1;
inline constexpr unsigned kFsconfigSetFlag = 0, kFsconfigSetString = 1, kFsconfigCmdCreate = 6;
inline constexpr unsigned kMoveMountFromEmptyPath = 4, kMoveMountToEmptyPath = 0x40;
inline constexpr unsigned kOpenTreeClone = 1, kOpenTreeCloexec = 02000000, kAtRecursive = 0x8000;
inline constexpr uint64_t kMountAttrRdonly = 1, kMountAttrNosuid = 2, kMountAttrNodev = 4,
                          kMountAttrNoexec = 8, kMountAttrIdmap = 0x100000;

inline constexpr uint64_t kSchedResetOnFork = 1;

struct MountAttr {
  uint64_t set, clear, propagation, userns_fd;
};

inline int Fsopen(const char* type) { return syscall(SYS_fsopen, type, kFsopenCloexec); }
inline int FsconfigFlag(int fd, const char* key) {
  return syscall(SYS_fsconfig, fd, kFsconfigSetFlag, key, nullptr, 0);
}
inline int FsconfigString(int fd, const char* key, const char* value) {
  return syscall(SYS_fsconfig, fd, kFsconfigSetString, key, value, 0);
}
inline int FsconfigCreate(int fd) {
  return syscall(SYS_fsconfig, fd, kFsconfigCmdCreate, nullptr, nullptr, 0);
}
inline int Fsmount(int fd, uint64_t attributes) {
  return syscall(SYS_fsmount, fd, kFsmountCloexec, attributes);
}
// Moves the detached mount `mount` onto the directory or file `target`, both by fd; or onto what is
// called `name` in it, which is not followed if it is a link.
inline int MoveMount(int mount, int target, const char* name = "") {
  const unsigned itself = *name == '\0' ? kMoveMountToEmptyPath : 0;
  return syscall(SYS_move_mount, mount, "", target, name, kMoveMountFromEmptyPath | itself);
}
inline int OpenTree(int at, const char* path, unsigned flags) {
  return syscall(SYS_open_tree, at, path, flags);
}
inline int MountSetattr(int fd, unsigned flags, MountAttr attr) {
  return syscall(SYS_mount_setattr, fd, "", flags, &attr, sizeof(attr));
}
inline int Openat2(int at, const char* path, uint64_t flags, uint64_t resolve) {
  open_how how = {.flags = flags, .mode = 0, .resolve = resolve};
  return syscall(SYS_openat2, at, path, &how, sizeof(how));
}
// Gives the detached tree `tree` the mapping of a user namespace, with all mounts in it (kernel
// 5.12). EINVAL: a file system that has no id-mapped mounts.
inline int IdmapTree(int tree, int user_namespace) {
  return MountSetattr(tree, AT_EMPTY_PATH | kAtRecursive,
                      {.set = kMountAttrIdmap, .userns_fd = static_cast<uint64_t>(user_namespace)});
}
inline int PivotRoot(const char* new_root, const char* put_old) {
  return syscall(SYS_pivot_root, new_root, put_old);
}
inline int CloseRangeCloexec(unsigned first) {
  return syscall(SYS_close_range, first, ~0U, 4 /* CLOEXEC */);
}
inline pid_t Clone3(clone_args* args) { return syscall(SYS_clone3, args, sizeof(*args)); }
// struct sched_attr of sched_setattr(2), as its first version.
struct SchedAttr {
  uint32_t size, policy;
  uint64_t flags;
  int32_t nice;
  uint32_t priority;
  uint64_t runtime, deadline, period;
};
inline int SchedGetattr(SchedAttr* attr) {
  return syscall(SYS_sched_getattr, 0, attr, sizeof(*attr), 0);
}
inline int SchedSetattr(SchedAttr* attr) { return syscall(SYS_sched_setattr, 0, attr, 0); }
inline int SetNs(int fd, int type) { return syscall(SYS_setns, fd, type); }

}  // namespace berth::monitor::sys
