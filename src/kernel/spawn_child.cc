#include "src/kernel/spawn_child.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/close_range.h>

namespace berth {
namespace {

int Fail(SpawnChild* child, const char* call) {
  child->error = errno;
  child->failed = call;
  return 127;
}

// The kernel changes it for this process alone, although it shares the parent's memory: a vfork is
// about to exec. A refusal leaves what was inherited.
void SetDefaultOomScore() {
  const int score = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
  if (score < 0) return;
  [[maybe_unused]] const ssize_t written = write(score, "0", 1);
  close(score);
}

}  // namespace

int RunSpawnChild(void* argument) {
  auto* child = static_cast<SpawnChild*>(argument);
  struct sigaction action = {};
  action.sa_handler = SIG_DFL;
  for (int signal = 1; signal < NSIG; ++signal) sigaction(signal, &action, nullptr);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);

  if (child->new_session && setsid() < 0) return Fail(child, "setsid");
  if (child->default_oom_score) SetDefaultOomScore();
  if (child->new_mount_namespace) {
    if (unshare(CLONE_NEWNS) != 0) return Fail(child, "unshare mounts for");
    if (mount(nullptr, "/", nullptr, MS_REC | MS_SLAVE, nullptr) != 0)
      return Fail(child, "make mounts slaves for");
  }
  if (child->cwd != nullptr && chdir(child->cwd) != 0) return Fail(child, "chdir");
  for (int i = 0; i < child->cgroup_tasks_count; ++i) {
    if (write(child->cgroup_tasks[i], "0", 1) != 1) return Fail(child, "join cgroup");
  }
  // Two passes, so that no dup2 overwrites a descriptor that is still to be placed.
  for (int i = 0; i < child->fd_count; ++i) {
    const int source = child->fds[i] >= 0 ? child->fds[i] : child->null_fd;
    child->scratch[i] = fcntl(source, F_DUPFD_CLOEXEC, child->fd_count + 1);
    if (child->scratch[i] < 0) return Fail(child, "dup");
  }
  int executable = child->executable_fd;
  if (executable >= 0) {
    executable = fcntl(executable, F_DUPFD_CLOEXEC, child->fd_count + 1);
    if (executable < 0) return Fail(child, "dup");
  }
  for (int i = 0; i < child->fd_count; ++i) {
    if (dup2(child->scratch[i], i) < 0) return Fail(child, "dup2");
  }
  syscall(SYS_close_range, child->fd_count, ~0U, CLOSE_RANGE_CLOEXEC);
  syscall(SYS_execveat, executable >= 0 ? executable : AT_FDCWD, child->path, child->argv,
          child->env, executable >= 0 ? AT_EMPTY_PATH : 0);
  return Fail(child, "exec");
}

}  // namespace berth
