#include "src/runtime/monitor/network_namespace.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/sockios.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "src/runtime/monitor/mount_steps_child.h"
#include "src/runtime/monitor/step_result.h"
#include "src/runtime/monitor/syscalls.h"

namespace berth::monitor {
namespace {

constexpr int kSocket = 3;

bool Write(int directory, const char* path, const char* value) {
  const int fd = openat(directory, path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return errno == ENOENT;
  const bool written = write(fd, value, strlen(value)) == static_cast<ssize_t>(strlen(value));
  CloseKeepingErrno(fd);
  return written;
}

// /proc/sys/net shows the namespace of who opens a file there. In a procfs of our own: in one that
// stays, each namespace leaves entries behind that have the same names, and the next one's are
// looked for among all of them (proc_sys_compare, fs/proc/proc_sysctl.c).
bool Make(char** settings, int count, int fds[2]) {
  const int proc =
      NewMount("proc", "", sys::kMountAttrNosuid | sys::kMountAttrNodev | sys::kMountAttrNoexec);
  const int directory = openat(proc, "sys", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (proc < 0 || directory < 0 || unshare(CLONE_NEWNET) != 0) return false;
  for (int i = 0; i + 1 < count; i += 2) {
    if (!Write(directory, settings[i], settings[i + 1])) return false;
  }
  fds[1] = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
  if (fds[1] < 0) return false;
  fds[0] = ioctl(fds[1], SIOCGSKNS);  // the namespace of a socket (kernel 4.10)
  return fds[0] >= 0;
}

bool Answer(int error, const int fds[2]) {
  iovec iov = {&error, sizeof(error)};
  alignas(cmsghdr) char control[CMSG_SPACE(2 * sizeof(int))] = {};
  msghdr message = {};
  message.msg_iov = &iov;
  message.msg_iovlen = 1;
  if (error == 0) {
    message.msg_control = control;
    message.msg_controllen = sizeof(control);
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(2 * sizeof(int));
    memcpy(CMSG_DATA(header), fds, 2 * sizeof(int));
  }
  return sendmsg(kSocket, &message, MSG_NOSIGNAL) >= 0;
}

}  // namespace

int MakeNetworkNamespace(char** settings, int count) {
  int fds[2] = {-1, -1};
  const int error = Make(settings, count, fds) ? 0 : errno;
  return Answer(error, fds) ? 0 : 1;
}

}  // namespace berth::monitor
