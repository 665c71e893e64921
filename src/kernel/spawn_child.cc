#include "src/kernel/spawn_child.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>

#include <linux/close_range.h>

#include "src/kernel/child_call.h"

namespace berth {
namespace {

constexpr size_t kSignalSetBytes = 8;  // the kernel's
constexpr unsigned long kSlaves = MS_REC | MS_SLAVE;

int Fail(SpawnChild* child, const char* call) {
  child->error = errno;
  child->failed = call;
  return 127;
}

// What sigaction(2) takes for the default: all of the kernel's struct is zero.
struct DefaultAction {
  uint64_t words[8] = {};
};

// The kernel changes it for this process alone, although it shares the parent's memory: a vfork is
// about to exec. A refusal leaves what was inherited.
void SetDefaultOomScore() {
  const int score = Call(SYS_openat, AT_FDCWD, "/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC, 0);
  if (score < 0) return;
  Call(SYS_write, score, "0", 1UL);
  Call(SYS_close, score);
}

}  // namespace

int RunSpawnChild(void* argument) {
  auto* child = static_cast<SpawnChild*>(argument);
  // A table of our own before anything else. A copy of it whole, and each closed again at the exec,
  // would cost a daemon with thousands of them a millisecond a helper.
  if (Call(SYS_close_range, child->last_fd + 1, ~0U, CLOSE_RANGE_UNSHARE) != 0 &&
      Call(SYS_unshare, CLONE_FILES) != 0)
    return Fail(child, "unshare descriptors for");
  const DefaultAction action;
  for (int signal = 1; signal < NSIG; ++signal)
    Call(SYS_rt_sigaction, signal, &action, nullptr, kSignalSetBytes);
  const uint64_t none = 0;
  Call(SYS_rt_sigprocmask, SIG_SETMASK, &none, nullptr, kSignalSetBytes);

  if (child->new_session && Call(SYS_setsid) < 0) return Fail(child, "setsid");
  if (child->default_oom_score) SetDefaultOomScore();
  if (child->new_mount_namespace) {
    if (Call(SYS_unshare, CLONE_NEWNS) != 0) return Fail(child, "unshare mounts for");
    if (Call(SYS_mount, nullptr, "/", nullptr, kSlaves, nullptr) != 0)
      return Fail(child, "make mounts slaves for");
  }
  if (child->cwd != nullptr && Call(SYS_chdir, child->cwd) != 0) return Fail(child, "chdir");
  for (int i = 0; i < child->cgroup_tasks_count; ++i) {
    if (Call(SYS_write, child->cgroup_tasks[i], "0", 1UL) != 1) return Fail(child, "join cgroup");
  }
  // Two passes, so that no dup2 overwrites a descriptor that is still to be placed.
  for (int i = 0; i < child->fd_count; ++i) {
    const int source = child->fds[i] >= 0 ? child->fds[i] : child->null_fd;
    child->scratch[i] = Call(SYS_fcntl, source, F_DUPFD_CLOEXEC, child->fd_count + 1);
    if (child->scratch[i] < 0) return Fail(child, "dup");
  }
  int executable = child->executable_fd;
  if (executable >= 0) {
    executable = Call(SYS_fcntl, executable, F_DUPFD_CLOEXEC, child->fd_count + 1);
    if (executable < 0) return Fail(child, "dup");
  }
  for (int i = 0; i < child->fd_count; ++i) {
    if (Call(SYS_dup3, child->scratch[i], i, 0) < 0) return Fail(child, "dup2");
  }
  Call(SYS_close_range, child->fd_count, ~0U, CLOSE_RANGE_CLOEXEC);
  Call(SYS_execveat, executable >= 0 ? executable : AT_FDCWD, child->path, child->argv, child->env,
       executable >= 0 ? AT_EMPTY_PATH : 0);
  return Fail(child, "exec");
}

}  // namespace berth
