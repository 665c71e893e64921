#include "src/kernel/network_namespace_child.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/sockios.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "src/kernel/child_call.h"

namespace berth {
namespace {

int Fail(NamespaceChild* child, const char* call) {
  child->error = errno;
  child->failed = call;
  return 1;
}

int WriteFiles(NamespaceChild* child, int proc) {
  for (size_t i = 0; i < child->file_count; ++i) {
    const auto& [path, value] = child->files[i];
    const int file = Call(SYS_openat, proc, path.c_str(), O_WRONLY | O_CLOEXEC, 0);
    if (file < 0 && errno == ENOENT) continue;
    if (file < 0) return Fail(child, path.c_str());
    const int written = Call(SYS_write, file, value.data(), value.size());
    if (written < 0) Fail(child, path.c_str());
    Call(SYS_close, file);
    if (written < 0) return 1;
  }
  return 0;
}

// /proc/sys/net shows the namespace of who opens a file there. In a procfs of its own: in one that
// stays, each namespace leaves entries behind that have the same names, and the next one's are
// looked for among all of them (proc_sys_compare, fs/proc/proc_sysctl.c).
int WriteSettings(NamespaceChild* child) {
  const int context = Call(SYS_fsopen, "proc", FSOPEN_CLOEXEC);
  if (context < 0) return Fail(child, "fsopen procfs");
  int proc = -1;
  if (Call(SYS_fsconfig, context, FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) == 0)
    proc = Call(SYS_fsmount, context, FSMOUNT_CLOEXEC,
                MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
  if (proc < 0) Fail(child, "mount procfs");
  Call(SYS_close, context);
  if (proc < 0) return 1;
  const int result = WriteFiles(child, proc);
  Call(SYS_close, proc);
  return result;
}

}  // namespace

int RunNamespaceChild(void* argument) {
  auto* child = static_cast<NamespaceChild*>(argument);
  if (child->file_count > 0 && WriteSettings(child) != 0) return 1;
  child->netlink = Call(SYS_socket, AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
  if (child->netlink < 0) return Fail(child, "netlink socket");
  child->netns = Call(SYS_ioctl, child->netlink, SIOCGSKNS);  // a socket's namespace (kernel 4.10)
  if (child->netns < 0) return Fail(child, "namespace of a socket");
  return 0;
}

}  // namespace berth
