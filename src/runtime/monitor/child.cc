#include "src/runtime/monitor/child.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "src/base/failpoint.h"
#include "src/runtime/monitor/channel.h"
#include "src/runtime/monitor/namespace_steps_child.h"
#include "src/runtime/monitor/packet.h"
#include "src/runtime/monitor/steps_child.h"
#include "src/runtime/monitor/syscalls.h"

namespace berth::monitor {
namespace {

[[noreturn]] void RunChild(const ChildRequest& request, int channel) {
  StepContext context;
  context.channel = channel;
  const StepFailure failure = RunRequest(request, &context);
  EndChild(Send(channel, wire::Type::kError, ReplyOf(failure)), failure.error);
}

// The monitor's end learns the sender's pid with each message.
bool OpenChannel(int* ends) {
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) return false;
  const int on = 1;
  setsockopt(ends[0], SOL_SOCKET, SO_PASSCRED, &on, sizeof(on));
  return true;
}

[[noreturn]] void RunPodInit() {
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

}  // namespace

StepFailure RunRequest(const ChildRequest& request, StepContext* context) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  prctl(PR_SET_DUMPABLE, 0);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  struct sigaction action = {};
  action.sa_handler = SIG_DFL;
  sigaction(SIGPIPE, &action, nullptr);

  context->fds = request.fds;
  context->fd_count = request.fd_count;
  context->log_stdout = request.log_stdout;
  context->log_stderr = request.log_stderr;
  context->stdin_pipe = request.stdin_pipe;
  context->container = request.container;
  context->tasks = request.tasks;
  context->task_count = request.task_count;
  context->leaf_tasks = request.leaf_tasks;
  context->proc = request.proc;
  if (request.leaf_tasks >= 0 && write(request.leaf_tasks, "0", 1) != 1)
    return {.step = -1, .error = errno, .call = "join exec cgroup"};
  const StepFailure failure = RunSteps(*request.plan, context);
  if (failure.error != 0) return failure;
  return {.step = -1, .error = ENOEXEC, .call = "plan without an exec"};
}

wire::ErrorReply ReplyOf(const StepFailure& failure) {
  wire::ErrorReply reply = {.step = failure.step, .error = failure.error, .call = {}};
  strncpy(reply.call, failure.call, sizeof(reply.call) - 1);
  return reply;
}

bool HasExeced(pid_t pid) {
  // Field 9 of proc_pid_stat(5): the kernel takes this flag away at the exec, before it closes
  // descriptors (PF_FORKNOEXEC, include/linux/sched.h; begin_new_exec, fs/exec.c).
  constexpr unsigned long kForkNoExec = 0x40;
  char text[512];
  snprintf(text, sizeof(text), "/proc/%d/stat", pid);
  const int fd = openat(AT_FDCWD, text, O_RDONLY | O_CLOEXEC);
  const ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
  if (fd >= 0) close(fd);
  if (n <= 0) return false;
  text[n] = '\0';
  const char* at = strrchr(text, ')');  // the name in parentheses may hold anything
  for (int field = 2; at != nullptr && field < 9; ++field) at = strchr(at + 1, ' ');
  return at != nullptr && (strtoul(at + 1, nullptr, 10) & kForkNoExec) == 0;
}

wire::ErrorReply SilentFailure(int status) {
  wire::ErrorReply failure = {.step = -1, .error = WEXITSTATUS(status), .call = "start"};
  if (WIFEXITED(status)) return failure;
  failure.error = ECANCELED;
  const char* call = CallText("killed before the exec, signal ", WTERMSIG(status));
  // SIGILL is EndChild's, where not even the exit is permitted.
  if (WTERMSIG(status) == SIGSYS || WTERMSIG(status) == SIGILL) {
    failure.error = EPERM;
    call = "killed by its seccomp filter before the exec";
  }
  strncpy(failure.call, call, sizeof(failure.call) - 1);
  return failure;
}

void EndChild(bool told, int error) {
  syscall(SYS_exit_group, told ? 127 : error);
  while (true) __builtin_trap();
}

bool StartChild(const ChildRequest& request, Child* child, const char** call) {
  int channel[2];
  if (!OpenChannel(channel)) {
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
    child->pid = FAULT("monitor.start") ? -1 : sys::Clone3(&args);
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

bool StartPodInit(int user_namespace, Child* init, const char** call) {
  int channel[2];
  *call = "socketpair";
  if (!OpenChannel(channel)) return false;
  *call = "clone3 pod init";
  clone_args args = {};
  args.exit_signal = SIGCHLD;
  if (user_namespace < 0) args.flags = CLONE_NEWPID;
  const pid_t first = sys::Clone3(&args);
  if (first == 0 && user_namespace >= 0) {
    // A child of the monitor, not of this process, that the user namespace's root makes.
    const char* failed;
    args.flags = CLONE_NEWPID | CLONE_PARENT;
    args.exit_signal = 0;
    if (sys::SetNs(user_namespace, CLONE_NEWUSER) != 0 || BecomeRoot(&failed) != 0) _exit(errno);
    const pid_t second = sys::Clone3(&args);
    if (second != 0) _exit(second > 0 ? 0 : errno);
  }
  if (first == 0) {
    if (!SendChannel(channel[1], {.tag = ChannelTag::kMoved, .value = 0})) _exit(1);
    RunPodInit();
  }
  int error = errno, status = 0;
  close(channel[1]);
  if (first > 0 && user_namespace >= 0) {
    while (waitpid(first, &status, 0) < 0 && errno == EINTR) {
    }
  }
  ChannelEvent event;
  pollfd wait = {.fd = channel[0], .events = POLLIN, .revents = 0};
  while (first > 0 && poll(&wait, 1, -1) < 0 && errno == EINTR) {
  }
  if (first > 0) ReceiveChannel(channel[0], &event);
  close(channel[0]);
  if (first > 0)
    error = WIFEXITED(status) && WEXITSTATUS(status) != 0 ? WEXITSTATUS(status) : ECHILD;
  init->pid = event.sender;
  if (event.kind == ChannelEvent::Kind::kMessage && init->pid > 0)
    init->pidfd = syscall(SYS_pidfd_open, init->pid, 0);
  if (init->pidfd >= 0) return true;
  errno = error;
  return false;
}

}  // namespace berth::monitor
