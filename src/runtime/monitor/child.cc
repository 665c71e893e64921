#include "src/runtime/monitor/child.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "src/runtime/monitor/packet.h"
#include "src/runtime/monitor/steps_child.h"
#include "src/runtime/monitor/syscalls.h"

namespace berth::monitor {
namespace {

[[noreturn]] void RunChild(const ChildRequest& request, int channel) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  prctl(PR_SET_DUMPABLE, 0);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  struct sigaction action = {};
  action.sa_handler = SIG_DFL;
  sigaction(SIGPIPE, &action, nullptr);

  StepContext context;
  context.fds = request.fds;
  context.fd_count = request.fd_count;
  context.channel = channel;
  context.log_stdout = request.log_stdout;
  context.log_stderr = request.log_stderr;
  context.container = request.container;
  StepFailure failure;
  if (request.leaf_tasks >= 0 && write(request.leaf_tasks, "0", 1) != 1) {
    failure = {.step = -1, .error = errno, .call = "join exec cgroup"};
  } else {
    failure = RunSteps(*request.plan, &context);
    if (failure.error == 0)
      failure = {.step = -1, .error = ENOEXEC, .call = "plan without an exec"};
  }
  SendError(channel, failure.step, failure.error, failure.call);
  _exit(127);
}

}  // namespace

bool StartChild(const ChildRequest& request, Child* child, const char** call) {
  int channel[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, channel) != 0) {
    *call = "socketpair";
    return false;
  }
  clone_args args = {};
  args.flags = request.clone_flags | CLONE_PIDFD;
  args.pidfd = reinterpret_cast<uint64_t>(&child->pidfd);
  args.exit_signal = SIGCHLD;
  if (request.clone_into_cgroup >= 0) {
    args.flags |= CLONE_INTO_CGROUP;
    args.cgroup = request.clone_into_cgroup;
  }
  *call = "enter pid namespace";
  bool ready = request.pid_namespace < 0 || sys::SetNs(request.pid_namespace, CLONE_NEWPID) == 0;
  if (ready) {
    *call = "clone3";
    child->pid = sys::Clone3(&args);
    if (child->pid == 0) RunChild(request, channel[1]);
    ready = child->pid > 0;
  }
  const int error = errno;
  if (request.pid_namespace >= 0) sys::SetNs(request.own_pid_namespace, CLONE_NEWPID);
  close(channel[1]);
  if (!ready) {
    close(channel[0]);
    errno = error;
    return false;
  }
  child->channel = channel[0];
  return true;
}

void RunPodInit() {
  prctl(PR_SET_DUMPABLE, 0);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  prctl(PR_SET_NAME, "berth-init");
  // Nothing of the node may be reachable through /proc/1/root of a container in this pid namespace.
  if (unshare(CLONE_NEWNS) != 0 ||
      mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 || chdir("/rootfs") != 0 ||
      chroot(".") != 0) {
    _exit(1);
  }
  sigset_t signals;
  sigfillset(&signals);
  sigprocmask(SIG_SETMASK, &signals, nullptr);
  for (int fd = 0; fd <= 2; ++fd) fcntl(fd, F_SETFD, FD_CLOEXEC);
  syscall(SYS_close_range, 3, ~0U, 0);
  __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  __user_cap_data_struct none[2] = {};
  syscall(SYS_capset, &header, none);
  while (true) {
    int signal = 0;
    sigwait(&signals, &signal);
    if (signal == SIGTERM || signal == SIGINT) _exit(0);
    while (waitpid(-1, nullptr, WNOHANG) > 0) {
    }
  }
}

}  // namespace berth::monitor
