#include "src/runtime/monitor/namespace_steps_child.h"

#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "src/runtime/monitor/channel.h"
#include "src/runtime/monitor/mount_steps_child.h"
#include "src/runtime/monitor/step_result.h"
#include "src/runtime/monitor/syscalls.h"

namespace berth::monitor {
namespace {

// "<pid>/<file>" in a buffer of 64 bytes.
void ProcName(char* buffer, pid_t pid, const char* file) {
  char digits[16];
  int count = 0;
  for (pid_t rest = pid; rest > 0 || count == 0; rest /= 10)
    digits[count++] = static_cast<char>('0' + rest % 10);
  while (count > 0) *buffer++ = digits[--count];
  *buffer++ = '/';
  strcpy(buffer, file);
}

bool WriteMap(int proc, pid_t pid, const char* file, std::string_view map) {
  char name[64];
  ProcName(name, pid, file);
  const int fd = openat(proc, name, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return false;
  const bool written = write(fd, map.data(), map.size()) == static_cast<ssize_t>(map.size());
  CloseKeepingErrno(fd);
  return written;
}

// What id 0 of a map (lines of "inside outside count") is outside; 0 if it has none.
unsigned long RootOutside(std::string_view map) {
  const char* at = map.data();
  while (*at != '\0') {
    char* end;
    const unsigned long inside = strtoul(at, &end, 10);
    if (end == at) return 0;
    const unsigned long outside = strtoul(end, &end, 10);
    if (inside == 0) return outside;
    at = strchrnul(end, '\n');
    if (*at == '\n') ++at;
  }
  return 0;
}

// The first process of the new user namespace: once its maps are written it makes the namespaces
// that belong to it, and lives until it has been looked at.
[[noreturn]] void HoldNamespaces(int socket, int flags) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  char go;
  if (read(socket, &go, 1) != 1) _exit(1);
  // Of the files in the namespaces' own file systems (mqueue) their maker is the owner.
  const char* call = nullptr;
  const bool made = BecomeRoot(&call) == 0 && (flags == 0 || unshare(flags) == 0);
  const int error = made ? 0 : errno;
  if (write(socket, &error, sizeof(error)) != sizeof(error)) _exit(1);
  while (read(socket, &go, 1) > 0) {
  }
  _exit(0);
}

// The monitor's side, with the holder waiting at the other end of `socket`.
int AdoptNamespaces(const Step& step, StepContext* context, pid_t holder, int pidfd, int socket,
                    const char** call) {
  if (!WriteMap(context->proc, holder, "uid_map", step.String(0)))
    return Fail(call, "write uid_map");
  if (!WriteMap(context->proc, holder, "gid_map", step.String(1)))
    return Fail(call, "write gid_map");
  int error = ECHILD;
  if (write(socket, "g", 1) != 1 || read(socket, &error, sizeof(error)) != sizeof(error)) {
    errno = ECHILD;
    return Fail(call, "make namespaces of the user namespace");
  }
  if (error != 0) {
    errno = error;
    return Fail(call, "make namespaces of the user namespace");
  }
  char name[64];
  ProcName(name, holder, "ns/user");
  context->user_namespace = openat(context->proc, name, O_RDONLY | O_CLOEXEC);
  if (context->user_namespace < 0) return Fail(call, "open user namespace");
  if (step.a() != 0 && sys::SetNs(pidfd, static_cast<int>(step.a())) != 0)
    return Fail(call, "enter namespaces of the user namespace");
  context->root_uid = static_cast<uid_t>(RootOutside(step.String(0)));
  context->root_gid = static_cast<gid_t>(RootOutside(step.String(1)));
  return 0;
}

}  // namespace

int BecomeRoot(const char** call) {
  if (syscall(SYS_setgroups, 0, nullptr) != 0 && errno != EPERM) return Fail(call, "setgroups");
  if (syscall(SYS_setresgid, 0, 0, 0) != 0) return Fail(call, "become root's group");
  if (syscall(SYS_setresuid, 0, 0, 0) != 0) return Fail(call, "become root");
  prctl(PR_SET_DUMPABLE, 0);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  return 0;
}

int StepUnshare(const Step& step, StepContext*, const char** call) {
  return unshare(static_cast<int>(step.a())) == 0 ? 0 : Fail(call, "unshare");
}

int StepSetNs(const Step& step, StepContext* context, const char** call) {
  const int fd = PlanFd(*context, step.a());
  return fd >= 0 && sys::SetNs(fd, static_cast<int>(step.b())) == 0 ? 0 : Fail(call, "setns");
}

int StepJoinContainer(const Step& step, StepContext* context, const char** call) {
  // The kernel enters the user namespace first, and checks the others with the rights there.
  const int user = step.a() == 1 ? CLONE_NEWUSER : 0;
  if (sys::SetNs(context->container, user | CLONE_NEWNS | CLONE_NEWCGROUP) != 0)
    return Fail(call, "join container");
  return user == 0 ? 0 : BecomeRoot(call);
}

int StepSetHostname(const Step& step, StepContext*, const char** call) {
  const std::string_view name = step.String(0);
  return sethostname(name.data(), name.size()) == 0 ? 0 : Fail(call, "sethostname");
}

int StepSetDomainname(const Step& step, StepContext*, const char** call) {
  const std::string_view name = step.String(0);
  return setdomainname(name.data(), name.size()) == 0 ? 0 : Fail(call, "setdomainname");
}

int StepCreateUserNamespace(const Step& step, StepContext* context, const char** call) {
  if (EnsureProc(context, call) != 0) return -1;
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
    return Fail(call, "socketpair");
  int pidfd = -1;
  clone_args args = {};
  args.flags = CLONE_NEWUSER | CLONE_PIDFD;
  args.pidfd = reinterpret_cast<uint64_t>(&pidfd);
  const pid_t holder = sys::Clone3(&args);
  if (holder == 0) {
    close(ends[0]);
    HoldNamespaces(ends[1], static_cast<int>(step.a()));
  }
  CloseKeepingErrno(ends[1]);
  if (holder < 0) return FailClosing(call, "make user namespace", ends[0]);
  const int adopted = AdoptNamespaces(step, context, holder, pidfd, ends[0], call);
  const int error = errno;
  close(ends[0]);
  // Without an exit signal only __WCLONE waits for it.
  while (waitpid(holder, nullptr, __WCLONE) < 0 && errno == EINTR) {
  }
  close(pidfd);
  errno = error;
  return adopted;
}

int StepEnterUserNamespace(const Step& step, StepContext* context, const char** call) {
  const int user_namespace = PlanFd(*context, step.a());
  if (user_namespace < 0 || sys::SetNs(user_namespace, CLONE_NEWUSER) != 0)
    return Fail(call, "enter user namespace");
  if (BecomeRoot(call) != 0) return -1;
  if (step.b() == 0) return 0;
  if (context->root >= 0 && fchdir(context->root) != 0) return Fail(call, "chdir rootfs");
  clone_args args = {};
  args.flags = static_cast<uint64_t>(step.b()) | CLONE_PARENT;
  const pid_t next = sys::Clone3(&args);
  if (next < 0) return Fail(call, "clone3 in user namespace");
  if (next > 0) _exit(0);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  prctl(PR_SET_DUMPABLE, 0);
  if (context->channel >= 0 &&
      !SendChannel(context->channel, {.tag = ChannelTag::kMoved, .value = 0}))
    return Fail(call, "tell the monitor");
  if (context->proc >= 0) close(context->proc);
  context->proc = -1;  // of the pid namespace that was left
  return (step.b() & CLONE_NEWNS) != 0 ? ReopenRoot(context, call) : 0;
}

}  // namespace berth::monitor
