#include "src/runtime/monitor/steps_child.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "src/runtime/monitor/mount_steps_child.h"
#include "src/runtime/monitor/paths_child.h"
#include "src/runtime/monitor/syscalls.h"

namespace berth::monitor {
namespace {

int Fail(const char** call, const char* what) {
  *call = what;
  return -1;
}

// The descriptor that a plan's fd operand names, or -1.
int PlanFd(const StepContext& context, int64_t index) {
  if (index >= 0 && index < context.fd_count) return context.fds[index];
  errno = EBADF;
  return -1;
}

int StepJoinCgroup(const Step& step, StepContext* context, const char** call) {
  const int fd = PlanFd(*context, step.a());
  return fd >= 0 && write(fd, "0", 1) == 1 ? 0 : Fail(call, "join cgroup");
}

int StepUnshare(const Step& step, StepContext*, const char** call) {
  return unshare(static_cast<int>(step.a())) == 0 ? 0 : Fail(call, "unshare");
}

int StepSetNs(const Step& step, StepContext* context, const char** call) {
  const int fd = PlanFd(*context, step.a());
  return fd >= 0 && sys::SetNs(fd, static_cast<int>(step.b())) == 0 ? 0 : Fail(call, "setns");
}

int StepJoinContainer(const Step&, StepContext* context, const char** call) {
  return sys::SetNs(context->container, CLONE_NEWNS | CLONE_NEWCGROUP) == 0
             ? 0
             : Fail(call, "join container");
}

int StepSetHostname(const Step& step, StepContext*, const char** call) {
  const std::string_view name = step.String(0);
  return sethostname(name.data(), name.size()) == 0 ? 0 : Fail(call, "sethostname");
}

int StepNewSession(const Step&, StepContext*, const char** call) {
  return setsid() >= 0 ? 0 : Fail(call, "setsid");
}

int StepStdio(const Step& step, StepContext* context, const char** call) {
  const int64_t wanted[] = {step.a(), step.b(), step.c()};
  for (int fd = 0; fd <= 2; ++fd) {
    int source = -1;
    if (wanted[fd] == wire::kLogStdout) {
      source = context->log_stdout;
    } else if (wanted[fd] == wire::kLogStderr) {
      source = context->log_stderr;
    } else if (wanted[fd] != wire::kNull) {
      source = PlanFd(*context, wanted[fd]);
    } else {
      continue;  // the monitor's own 0 to 2 are /dev/null
    }
    if (source < 0 || dup2(source, fd) < 0) return Fail(call, "dup2 stdio");
  }
  return 0;
}

// Without CAP_SYS_RESOURCE a process cannot lower its oom_score_adj (proc_pid_oom_score_adj(5)):
// the value that it has is then kept, since a container that runs a little less protected beats one
// that does not run.
int StepWriteProc(const Step& step, StepContext* context, const char** call) {
  if (EnsureProc(context, call) != 0) return -1;
  const int fd = openat(context->proc, step.String(0).data(), O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0)
    return errno == ENOENT && (step.a() & wire::kTolerateAbsent) ? 0
                                                                 : Fail(call, "open /proc file");
  const std::string_view value = step.String(1);
  const bool written = write(fd, value.data(), value.size()) == static_cast<ssize_t>(value.size());
  const int error = errno;
  close(fd);
  errno = error;
  if (!written && !((step.a() & wire::kTolerateDenied) && (error == EACCES || error == EPERM))) {
    return Fail(call, "write /proc file");
  }
  return 0;
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
  const int made = OpenOrMakeInRoot(context->root, path, wire::kDirectory, Links::kFollowInRoot);
  if (made < 0) return Fail(call, "open working directory");
  close(made);
  if (chdir(path.data()) != 0) return Fail(call, "chdir");
  // A directory outside of the root has no path in it (getcwd(2)): never run there.
  char cwd[PATH_MAX];
  if (syscall(SYS_getcwd, cwd, sizeof(cwd)) < 0 || cwd[0] != '/') {
    errno = EACCES;
    return Fail(call, "working directory outside of the root");
  }
  return 0;
}

int StepSetIdentity(const Step& step, StepContext*, const char** call) {
  const std::string_view groups = step.String(0);
  const auto gid = static_cast<gid_t>(step.b());
  const auto uid = static_cast<uid_t>(step.a());
  if (syscall(SYS_setgroups, groups.size() / sizeof(gid_t), groups.data()) != 0)
    return Fail(call, "setgroups");
  if (syscall(SYS_setresgid, gid, gid, gid) != 0) return Fail(call, "setgid");
  if (prctl(PR_SET_KEEPCAPS, 1) != 0) return Fail(call, "keep capabilities");
  if (syscall(SYS_setresuid, uid, uid, uid) != 0) return Fail(call, "setuid");
  if (prctl(PR_SET_KEEPCAPS, 0) != 0) return Fail(call, "keep capabilities");
  // Changing ids makes a process dumpable again and clears its parent-death signal.
  prctl(PR_SET_DUMPABLE, 0);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  return 0;
}

int StepDropBounding(const Step& step, StepContext*, const char** call) {
  const auto keep = static_cast<uint64_t>(step.a());
  for (int capability = 0; capability < 64; ++capability) {
    if (keep >> capability & 1) continue;
    if (prctl(PR_CAPBSET_DROP, capability) != 0) {
      if (errno == EINVAL) break;  // beyond the last one that this kernel knows
      return Fail(call, "drop bounding capability");
    }
  }
  return 0;
}

int StepSetCapabilities(const Step& step, StepContext*, const char** call) {
  __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  __user_cap_data_struct now[2];
  if (syscall(SYS_capget, &header, now) != 0) return Fail(call, "capget");
  const uint64_t held = now[0].permitted | static_cast<uint64_t>(now[1].permitted) << 32;
  const uint64_t permitted = static_cast<uint64_t>(step.a()) & held;
  const uint64_t ambient = static_cast<uint64_t>(step.b()) & permitted;
  __user_cap_data_struct next[2] = {};
  for (int half = 0; half < 2; ++half) {
    next[half].permitted = next[half].effective = static_cast<uint32_t>(permitted >> (32 * half));
    next[half].inheritable = static_cast<uint32_t>(ambient >> (32 * half));
  }
  if (syscall(SYS_capset, &header, next) != 0) return Fail(call, "capset");
  if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0)
    return Fail(call, "clear ambient");
  for (int capability = 0; capability < 64; ++capability) {
    if ((ambient >> capability & 1) &&
        prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0) != 0) {
      return Fail(call, "raise ambient");
    }
  }
  return 0;
}

int StepNoNewPrivs(const Step&, StepContext*, const char** call) {
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 ? 0 : Fail(call, "no_new_privs");
}

int StepSeccomp(const Step& step, StepContext*, const char** call) {
  const std::string_view code = step.String(0);
  // The string's bytes are not aligned in the plan; the kernel copies them, so only the pointer
  // type matters.
  sock_fprog program = {.len = static_cast<unsigned short>(code.size() / sizeof(sock_filter)),
                        .filter = reinterpret_cast<sock_filter*>(const_cast<char*>(code.data()))};
  return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0
             ? 0
             : Fail(call, "load seccomp filter");
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

int StepExec(const Step& step, StepContext*, const char** call) {
  const auto argc = static_cast<uint64_t>(step.a()), envc = static_cast<uint64_t>(step.b());
  if (argc == 0 || argc > step.string_count() || envc != step.string_count() - argc) {
    errno = EINVAL;
    return Fail(call, "exec arguments");
  }
  const size_t bytes = (argc + envc + 2) * sizeof(char*);
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return Fail(call, "exec arguments");
  char** argv = static_cast<char**>(memory);
  char** env = argv + argc + 1;
  const char* cursor = step.strings();
  for (uint64_t i = 0; i < argc; ++i) argv[i] = const_cast<char*>(NextString(&cursor).data());
  for (uint64_t i = 0; i < envc; ++i) env[i] = const_cast<char*>(NextString(&cursor).data());
  sys::CloseRangeCloexec(3);
  ExecInPath(argv, env);
  return Fail(call, "exec");
}

struct Operation {
  wire::Op op;
  int (*run)(const Step& step, StepContext* context, const char** call);
};

constexpr Operation kOperations[] = {
    {wire::Op::kJoinCgroup, StepJoinCgroup},
    {wire::Op::kUnshare, StepUnshare},
    {wire::Op::kSetNs, StepSetNs},
    {wire::Op::kJoinContainer, StepJoinContainer},
    {wire::Op::kSetHostname, StepSetHostname},
    {wire::Op::kNewSession, StepNewSession},
    {wire::Op::kPrivateMounts, StepPrivateMounts},
    {wire::Op::kMountOverlay, StepMountOverlay},
    {wire::Op::kMount, StepMount},
    {wire::Op::kBind, StepBind},
    {wire::Op::kMakeNode, StepMakeNode},
    {wire::Op::kMakeDir, StepMakeDir},
    {wire::Op::kSymlink, StepSymlink},
    {wire::Op::kPivotRoot, StepPivotRoot},
    {wire::Op::kMaskPath, StepMaskPath},
    {wire::Op::kReadonlyPath, StepReadonlyPath},
    {wire::Op::kSetMountAttr, StepSetMountAttr},
    {wire::Op::kStdio, StepStdio},
    {wire::Op::kTerminal, StepTerminal},
    {wire::Op::kLinkConsole, StepLinkConsole},
    {wire::Op::kWriteProc, StepWriteProc},
    {wire::Op::kSetRlimit, StepSetRlimit},
    {wire::Op::kChdir, StepChdir},
    {wire::Op::kSetIdentity, StepSetIdentity},
    {wire::Op::kDropBounding, StepDropBounding},
    {wire::Op::kSetCapabilities, StepSetCapabilities},
    {wire::Op::kNoNewPrivs, StepNoNewPrivs},
    {wire::Op::kSeccomp, StepSeccomp},
    {wire::Op::kExec, StepExec},
};

int RunStep(const Step& step, StepContext* context, const char** call) {
  for (const Operation& operation : kOperations) {
    if (operation.op == step.op()) return operation.run(step, context, call);
  }
  errno = ENOSYS;
  *call = "unknown step";
  return -1;
}

}  // namespace

StepFailure RunSteps(const Plan& plan, StepContext* context) {
  const mode_t old_mask = umask(0);
  const char* at = plan.begin();
  for (uint32_t i = 0; i < plan.step_count(); ++i) {
    const Step step(at);
    if (step.op() == wire::Op::kExec) umask(022);
    const char* call = "";
    if (RunStep(step, context, &call) != 0) {
      StepFailure failure = {.step = static_cast<int>(i), .error = errno, .call = call};
      umask(old_mask);
      return failure;
    }
    at += step.bytes();
  }
  umask(old_mask);
  return {};
}

}  // namespace berth::monitor
