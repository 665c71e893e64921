#include "src/runtime/monitor/node_namespace.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "src/runtime/monitor/syscalls.h"

namespace berth::monitor {
namespace {

int Complain(const char* call) {
  fprintf(stderr, "%s: %s\n", call, strerror(errno));
  return 1;
}

}  // namespace

int MakeNodeNamespace(const char* data_dir) {
  if (unshare(CLONE_NEWNS) != 0) return Complain("unshare mount namespace");
  if (mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0)
    return Complain("make mounts private");
  const int data = sys::OpenTree(AT_FDCWD, data_dir, sys::kOpenTreeClone | sys::kOpenTreeCloexec);
  if (data < 0) return Complain("bind data directory");
  if (mount("berth", data_dir, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "size=16k,mode=0700") !=
      0) {
    return Complain("mount tmpfs");
  }
  if (chdir(data_dir) != 0 || mkdir("data", 0700) != 0 || mkdir("rootfs", 0755) != 0 ||
      mkdir("shm", 0755) != 0) {
    return Complain("make directories");
  }
  const int target = open("data", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (target < 0 || sys::MoveMount(data, target) != 0) return Complain("attach data directory");
  if (sys::PivotRoot(".", ".") != 0 || umount2(".", MNT_DETACH) != 0 || chdir("/") != 0)
    return Complain("pivot_root");
  if (mount(nullptr, "/", nullptr,
            MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr) != 0) {
    return Complain("make root read-only");
  }
  if (write(1, "ready\n", 6) != 6) return Complain("write");
  char byte;
  while (read(0, &byte, 1) > 0) {
  }
  return 0;
}

int OpenVolumes(char** paths, int count) {
  for (int i = 0; i < count; ++i) {
    int tree = sys::OpenTree(AT_FDCWD, paths[i],
                             sys::kOpenTreeClone | sys::kOpenTreeCloexec | sys::kAtRecursive);
    // A volume that is not there is made as a directory, as the kubelet's users expect of hostPath.
    if (tree < 0 && errno == ENOENT && mkdir(paths[i], 0755) == 0) {
      tree = sys::OpenTree(AT_FDCWD, paths[i],
                           sys::kOpenTreeClone | sys::kOpenTreeCloexec | sys::kAtRecursive);
    }
    struct {
      int error;
      int is_directory;
    } reply = {.error = tree < 0 ? errno : 0, .is_directory = 0};
    struct stat info;
    if (tree >= 0 && fstat(tree, &info) == 0) reply.is_directory = S_ISDIR(info.st_mode);
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
