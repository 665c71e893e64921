#include "src/runtime/monitor/node_namespace.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "src/runtime/monitor/syscalls.h"
#include "src/runtime/monitor_protocol.h"

namespace berth::monitor {
namespace {

using wire::VolumeReply;

struct Node {
  const char* name;
  unsigned major, minor;
};

// What a container of a user namespace gets bound from here: it cannot mknod(2).
constexpr Node kNodes[] = {{"null", 1, 3},   {"zero", 1, 5},    {"full", 1, 7},
                           {"random", 1, 8}, {"urandom", 1, 9}, {"tty", 5, 0}};

int Complain(const char* call) {
  fprintf(stderr, "%s: %s\n", call, strerror(errno));
  return 1;
}

// /dev, /proc and /sys below the present directory. A user namespace may only mount a procfs or
// sysfs of its own where it sees one already that nothing covers (mount_too_revealing in the
// kernel's fs/namespace.c); they must not be read-only for that, and go with the old root.
bool MountKernelFileSystems(const char** call) {
  constexpr unsigned long kFlags = MS_NOSUID | MS_NODEV | MS_NOEXEC;
  *call = "mount proc";
  if (mount("proc", "proc", "proc", kFlags, nullptr) != 0) return false;
  *call = "mount sysfs";
  if (mount("sysfs", "sys", "sysfs", kFlags, nullptr) != 0) return false;
  *call = "mount tmpfs for devices";
  if (mount("berth", "dev", "tmpfs", MS_NOSUID | MS_NOEXEC, "size=16k,mode=0755") != 0)
    return false;
  *call = "make device nodes";
  const int directory = open("dev", O_PATH | O_DIRECTORY | O_CLOEXEC);
  const mode_t mask = umask(0);
  bool made = directory >= 0;
  for (const Node& node : kNodes) {
    made =
        made && mknodat(directory, node.name, S_IFCHR | 0666, makedev(node.major, node.minor)) == 0;
  }
  umask(mask);
  close(directory);
  return made && mount(nullptr, "dev", nullptr,
                       MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NOEXEC, nullptr) == 0;
}

// What statmount(2) says of a mount (kernel 6.8); only the parts that are asked for here.
struct MountId {
  uint32_t size, spare;
  uint64_t mount_id, mask, namespace_id;
};
struct MountStatus {
  uint32_t size, spare1;
  uint64_t mask;
  uint32_t sb_dev_major, sb_dev_minor;
  uint64_t sb_magic;
  uint32_t sb_flags, fs_type;
  uint64_t mnt_id, mnt_parent_id;
  uint32_t mnt_id_old, mnt_parent_id_old;
  uint64_t mnt_attr, mnt_propagation, mnt_peer_group, mnt_master, propagate_from;
  uint64_t spare2[51];
};
constexpr long kSysStatmount = 457;
constexpr unsigned kStatxMountId = 0x1000, kStatxMountIdUnique = 0x4000;  // linux/stat.h
constexpr uint64_t kStatmountBasic = 2;
constexpr size_t kStatxMountIdOffset = 0x90;  // stx_mnt_id

// The propagation of the mount that mountinfo names by `id`: optional fields "shared:N" and
// "master:N" (proc_pid_mountinfo(5)).
void PropagationFromMountinfo(uint64_t id, bool* shared, bool* slave) {
  FILE* table = fopen("/proc/self/mountinfo", "re");
  if (table == nullptr) return;
  char* line = nullptr;
  size_t capacity = 0;
  while (getline(&line, &capacity, table) > 0) {
    if (strtoull(line, nullptr, 10) != id) continue;
    char* end = strstr(line, " - ");
    if (end != nullptr) *end = '\0';
    *shared = strstr(line, " shared:") != nullptr;
    *slave = strstr(line, " master:") != nullptr;
    break;
  }
  free(line);
  fclose(table);
}

// The id of the mount that `path` is on: the unique one or the one of mountinfo. False: unknown.
bool MountIdOf(const char* path, unsigned wanted, uint64_t* id) {
  alignas(8) char info[256] = {};  // struct statx (linux/stat.h), of which musl names no mount id
  if (syscall(SYS_statx, AT_FDCWD, path, 0, wanted, info) != 0) return false;
  uint32_t mask;
  memcpy(&mask, info, sizeof(mask));
  memcpy(id, info + kStatxMountIdOffset, sizeof(*id));
  return (mask & wanted) != 0;
}

void FindPropagation(const char* path, bool* shared, bool* slave) {
  MountId request = {.size = 24, .mask = kStatmountBasic};
  MountStatus status = {};
  if (MountIdOf(path, kStatxMountIdUnique, &request.mount_id) &&
      syscall(kSysStatmount, &request, &status, sizeof(status), 0) == 0) {
    *shared = (status.mnt_propagation & MS_SHARED) != 0;
    *slave = (status.mnt_propagation & MS_SLAVE) != 0;
    return;
  }
  uint64_t id;
  if (MountIdOf(path, kStatxMountId, &id)) PropagationFromMountinfo(id, shared, slave);
}

// Makes `path` and its missing parents as directories, one component at a time. ENOENT where a link
// leads nowhere: what it names is not to be made behind somebody's back.
bool MakeDirectories(const char* path) {
  int parent = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
  char name[NAME_MAX + 1];
  while (parent >= 0) {
    while (*path == '/') ++path;
    const size_t length = strcspn(path, "/");
    if (length == 0 || length > NAME_MAX) break;
    memcpy(name, path, length);
    name[length] = '\0';
    path += length;
    int next = openat(parent, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
    // Somebody else may make it at the same time; a link that leads nowhere is EEXIST, too, and is
    // found by the open that follows.
    if (next < 0 && errno == ENOENT && (mkdirat(parent, name, 0755) == 0 || errno == EEXIST))
      next = openat(parent, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
    const int error = errno;
    close(parent);
    errno = error;
    parent = next;
  }
  if (parent < 0) return false;
  close(parent);
  if (*path == '\0') return true;
  errno = ENAMETOOLONG;
  return false;
}

// The bits of ST_* and of MOUNT_ATTR_* are the same for these four (statfs(2), mount_setattr(2)).
uint8_t ProtectiveAttributes(int tree) {
  struct statvfs info;
  if (fstatvfs(tree, &info) != 0) return 0;
  return info.f_flag & (ST_RDONLY | ST_NOSUID | ST_NODEV | ST_NOEXEC);
}

int CloneTree(const char* path) {
  return sys::OpenTree(AT_FDCWD, path,
                       sys::kOpenTreeClone | sys::kOpenTreeCloexec | sys::kAtRecursive);
}

}  // namespace

int MakeNodeNamespace(const char* data_dir) {
  if (unshare(CLONE_NEWNS) != 0) return Complain("unshare mount namespace");
  if (mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0)
    return Complain("make mounts private");
  const int data = sys::OpenTree(AT_FDCWD, data_dir, sys::kOpenTreeClone | sys::kOpenTreeCloexec);
  if (data < 0) return Complain("bind data directory");
  if (mount("berth", data_dir, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "size=16k,mode=0755") !=
      0) {
    return Complain("mount tmpfs");
  }
  if (chdir(data_dir) != 0 || mkdir("data", 0700) != 0 || mkdir("rootfs", 0755) != 0 ||
      mkdir("shm", 0755) != 0 || mkdir("proc", 0755) != 0 || mkdir("sys", 0755) != 0 ||
      mkdir("dev", 0755) != 0) {
    return Complain("make directories");
  }
  const char* call = "";
  if (!MountKernelFileSystems(&call)) return Complain(call);
  const int target = open("data", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (target < 0 || sys::MoveMount(data, target) != 0) return Complain("attach data directory");
  if (sys::PivotRoot(".", ".") != 0 || umount2(".", MNT_DETACH) != 0 || chdir("/") != 0)
    return Complain("pivot_root");
  if (mount(nullptr, "/", nullptr,
            MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr) != 0) {
    return Complain("make root read-only");
  }
  if (write(1, "ready\n", 6) != 6) return Complain("write");
  return Park();
}

int Park() {
  char byte;
  while (read(0, &byte, 1) > 0) {
  }
  return 0;
}

int OpenVolumes(char** paths, int count) {
  for (int i = 0; i < count; ++i) {
    const bool make = *paths[i] != '=';
    const char* path = make ? paths[i] : paths[i] + 1;
    int tree = CloneTree(path);
    // A volume that is not there is made as a directory, as the kubelet's users expect of hostPath.
    if (tree < 0 && errno == ENOENT && make && MakeDirectories(path)) tree = CloneTree(path);
    VolumeReply reply = {.error = tree < 0 ? errno : 0};
    bool shared = false, slave = false;
    if (tree >= 0) FindPropagation(path, &shared, &slave);
    reply.shared = shared;
    reply.slave = slave;
    struct stat info;
    if (tree >= 0 && fstat(tree, &info) == 0) reply.is_directory = S_ISDIR(info.st_mode);
    if (tree >= 0) reply.attributes = ProtectiveAttributes(tree);
    iovec iov = {&reply, sizeof(reply)};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
    msghdr message = {};
    message.msg_iov = &iov;
    message.msg_iovlen = 1;
    if (tree >= 0) {
      message.msg_control = control;
      message.msg_controllen = sizeof(control);
      cmsghdr* header = CMSG_FIRSTHDR(&message);
      header->cmsg_level = SOL_SOCKET;
      header->cmsg_type = SCM_RIGHTS;
      header->cmsg_len = CMSG_LEN(sizeof(int));
      memcpy(CMSG_DATA(header), &tree, sizeof(int));
    }
    if (sendmsg(3, &message, MSG_NOSIGNAL) < 0) return 1;
    if (tree >= 0) close(tree);
  }
  return 0;
}

}  // namespace berth::monitor
