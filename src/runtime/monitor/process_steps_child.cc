#include "src/runtime/monitor/process_steps_child.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "src/runtime/monitor/channel.h"
#include "src/runtime/monitor/mount_steps_child.h"
#include "src/runtime/monitor/paths_child.h"
#include "src/runtime/monitor/step_result.h"
#include "src/runtime/monitor/syscalls.h"

namespace berth::monitor {
namespace {

// The value written to a file below context->proc; -1 with errno, *opened tells at which call.
int WriteProc(const StepContext& context, const Step& step, bool* opened) {
  const int fd = openat(context.proc, step.String(0).data(), O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
  *opened = fd >= 0;
  if (fd < 0) return -1;
  const std::string_view value = step.String(1);
  const ssize_t n = write(fd, value.data(), value.size());
  CloseKeepingErrno(fd);
  if (n >= 0 && n != static_cast<ssize_t>(value.size())) errno = EIO;
  return n == static_cast<ssize_t>(value.size()) ? 0 : -1;
}

// A sysctl of an IPC namespace belongs to the root of its user namespace, whom the node's root has
// to become to write it (ipc_permissions in the kernel's ipc/ipc_sysctl.c).
int WriteProcAs(uid_t user, const StepContext& context, const Step& step, bool* opened) {
  if (syscall(SYS_setresuid, -1, user, -1) != 0) return -1;
  const int written = WriteProc(context, step, opened);
  const int error = errno;
  if (syscall(SYS_setresuid, -1, 0, -1) != 0) _exit(127);  // it was, and nobody else may go on
  prctl(PR_SET_DUMPABLE, 0);
  errno = error;
  return written;
}

// execvpe(3) without its allocation: the file as named if it has a '/', else in each directory of
// the plan's PATH.
int ExecInPath(char* const* argv, char* const* env) {
  const char* file = argv[0];
  if (strchr(file, '/') != nullptr) return execve(file, argv, env);
  const char* search = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
  for (char* const* entry = env; *entry != nullptr; ++entry) {
    if (strncmp(*entry, "PATH=", 5) == 0) search = *entry + 5;
  }
  int error = ENOENT;
  while (*search != '\0') {
    const char* end = strchrnul(search, ':');
    const size_t length = end - search;
    char candidate[PATH_MAX];
    if (length + strlen(file) + 2 < sizeof(candidate)) {
      memcpy(candidate, search, length);
      candidate[length] = '/';
      strcpy(candidate + length + 1, file);
      execve(length == 0 ? file : candidate, argv, env);
      if (errno == EACCES) error = EACCES;
      if (errno != ENOENT && errno != ENOTDIR && errno != EACCES) return -1;
    }
    search = *end == '\0' ? end : end + 1;
  }
  errno = error;
  return -1;
}

}  // namespace

std::string_view OomScoreAdjOf(const Step& step) {
  if (step.op() != wire::Op::kWriteProc || step.String(0) != "self/oom_score_adj") return "";
  return step.String(1);
}

int StepJoinCgroup(const Step& step, StepContext* context, const char** call) {
  const int fd = PlanFd(*context, step.a());
  return fd >= 0 && write(fd, "0", 1) == 1 ? 0 : Fail(call, "join cgroup");
}

int StepJoinContainerCgroups(const Step&, StepContext* context, const char** call) {
  for (int i = 0; i < context->task_count; ++i) {
    if (write(context->tasks[i], "0", 1) != 1) return Fail(call, "join cgroup");
  }
  if (context->leaf_tasks >= 0 && write(context->leaf_tasks, "0", 1) != 1)
    return Fail(call, "join exec cgroup");
  return 0;
}

int StepAwaitCgroups(const Step& step, StepContext* context, const char** call) {
  ChannelMessage came;
  if (!ReceiveCgroups(context->channel, &came, context->cgroup_fds, &context->cgroup_fd_count))
    return Fail(call, "await cgroups");
  if (came.value < 0) errno = -came.value;
  if (came.value > context->cgroup_fd_count) errno = EBADF;
  if (came.value < 0 || came.value > context->cgroup_fd_count) return Fail(call, "await cgroups");
  context->tasks = context->cgroup_fds;
  context->task_count = came.value;
  return StepJoinContainerCgroups(step, context, call);
}

int StepNewSession(const Step&, StepContext*, const char** call) {
  return setsid() >= 0 ? 0 : Fail(call, "setsid");
}

int StepSetUmask(const Step& step, StepContext* context, const char**) {
  context->umask = static_cast<mode_t>(step.a()) & 0777;
  return 0;
}

int StepStdio(const Step& step, StepContext* context, const char** call) {
  const int64_t wanted[] = {step.a(), step.b(), step.c()};
  // The monitor's own stdin; its stderr is its log, which is not for the process.
  const int null = fcntl(0, F_DUPFD_CLOEXEC, 3);
  for (int fd = 0; fd <= 2; ++fd) {
    int source = -1;
    if (wanted[fd] == wire::kLogStdout) {
      source = context->log_stdout;
    } else if (wanted[fd] == wire::kLogStderr) {
      source = context->log_stderr;
    } else if (wanted[fd] == wire::kStdinPipe) {
      source = context->stdin_pipe;
    } else if (wanted[fd] == wire::kNull) {
      source = null;
    } else {
      source = PlanFd(*context, wanted[fd]);
    }
    if (source < 0 || dup2(source, fd) < 0) return Fail(call, "dup2 stdio");
  }
  return 0;
}

// Without CAP_SYS_RESOURCE a process cannot lower its oom_score_adj (proc_pid_oom_score_adj(5)):
// the value that it has is then kept, since a container that runs a little less protected beats one
// that does not run.
int StepWriteProc(const Step& step, StepContext* context, const char** call) {
  if (!context->oom_score_adj.empty() && OomScoreAdjOf(step) == context->oom_score_adj) return 0;
  if (EnsureProc(context, call) != 0) return -1;
  bool opened = false;
  if (WriteProc(*context, step, &opened) == 0) return 0;
  const auto other = static_cast<uid_t>(step.b());
  if (errno == EACCES && other != 0 && WriteProcAs(other, *context, step, &opened) == 0) return 0;
  const bool denied = errno == EACCES || errno == EPERM;
  if ((step.a() & wire::kTolerateDenied) && denied) return 0;
  if ((step.a() & wire::kTolerateAbsent) && !opened && errno == ENOENT) return 0;
  return Fail(call, opened ? "write /proc file" : "open /proc file");
}

int StepSetRlimit(const Step& step, StepContext*, const char** call) {
  rlimit limit = {.rlim_cur = static_cast<rlim_t>(step.b()),
                  .rlim_max = static_cast<rlim_t>(step.c())};
  const auto resource = static_cast<int>(step.a());
  if (setrlimit(resource, &limit) == 0) return 0;
  rlimit now;
  if (errno != EPERM || getrlimit(resource, &now) != 0) return Fail(call, "setrlimit");
  if (limit.rlim_max > now.rlim_max) limit.rlim_max = now.rlim_max;
  if (limit.rlim_cur > limit.rlim_max) limit.rlim_cur = limit.rlim_max;
  return setrlimit(resource, &limit) == 0 ? 0 : Fail(call, "setrlimit");
}

int StepChdir(const Step& step, StepContext* context, const char** call) {
  const std::string_view path = step.String(0);
  if (path != "/") {
    const int made = OpenOrMakeInRoot(context->root, path, wire::kDirectory, Links::kFollowInRoot);
    if (made < 0) return Fail(call, "open working directory");
    close(made);
  }
  if (chdir(path.data()) != 0) return Fail(call, "chdir");
  // A directory outside of the root has no path in it (getcwd(2)): never run there.
  char cwd[PATH_MAX];
  if (syscall(SYS_getcwd, cwd, sizeof(cwd)) < 0 || cwd[0] != '/') {
    errno = EACCES;
    return Fail(call, "working directory outside of the root");
  }
  return 0;
}

bool MakeArguments(const StepContext& context, const char* strings, uint64_t count, int64_t argc,
                   int64_t envc, char*** argv, char*** env) {
  const auto arguments = static_cast<uint64_t>(argc), variables = static_cast<uint64_t>(envc);
  if (arguments == 0 || arguments > count || variables != count - arguments) {
    errno = EINVAL;
    return false;
  }
  const uint64_t pointers = arguments + variables + 2;
  void* memory = context.pointers;
  if (pointers > context.pointer_room)
    memory = mmap(nullptr, pointers * sizeof(char*), PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return false;
  *argv = static_cast<char**>(memory);
  *env = *argv + arguments + 1;
  for (uint64_t i = 0; i < arguments; ++i)
    (*argv)[i] = const_cast<char*>(NextString(&strings).data());
  for (uint64_t i = 0; i < variables; ++i)
    (*env)[i] = const_cast<char*>(NextString(&strings).data());
  (*argv)[arguments] = (*env)[variables] = nullptr;
  return true;
}

int StepExec(const Step& step, StepContext* context, const char** call) {
  char** argv;
  char** env;
  if (!MakeArguments(*context, step.strings(), step.string_count(), step.a(), step.b(), &argv,
                     &env))
    return Fail(call, "exec arguments");
  sys::CloseRangeCloexec(3);
  ExecInPath(argv, env);
  return Fail(call, "exec");
}

}  // namespace berth::monitor
