// The end of containers: output, exit record, and whose process it was.
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

#include "src/base/failpoint.h"
#include "src/runtime/monitor/cgroup.h"
#include "src/runtime/monitor/objects.h"
#include "src/runtime/monitor/pod.h"

namespace berth::monitor {
namespace {

// For output held open by processes that outlive the container's first, and for who is attached.
constexpr int64_t kDrainMs = 1500;

int ExitCode(int status) {
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

// As waitpid(2) tells it.
int StatusOf(const siginfo_t& info) {
  return info.si_code == CLD_EXITED ? info.si_status << 8 : info.si_status;
}

}  // namespace

bool Pod::KnowsProcess(pid_t pid) const {
  for (const Container* each = containers_; each != nullptr; each = each->next) {
    if (each->pid == pid) return true;
  }
  for (const Exec* each = execs_; each != nullptr; each = each->next) {
    if (each->pid == pid && !each->exited) return true;
  }
  return pid == init_pid_ || zygote_.Is(pid);
}

// A process that nobody knows may be a container whose start has not been read to its end: it was
// announced on the channel, or in the pid file of a runtime that has ended.
void Pod::SettleStarts() {
  for (Container* each = containers_; each != nullptr;) {
    Container* next = each->next;
    int status;
    if (each->launcher) ReadChannels(each->pid);
    if (each->launcher && each->pid > 0 && waitpid(each->pid, &status, WNOHANG) == each->pid) {
      Exited(each, status);
    } else {
      while (each->channel >= 0 && each->moving && ChannelReady(each)) {
        if (each->pid < 0) break;  // it may be gone
      }
    }
    each = next;
  }
}

// What a process had to tell of its start. Before it is reaped: whether it came to its exec is
// known only as long as it is there.
void Pod::ReadChannels(pid_t pid, bool succeeded) {
  for (Container* each = containers_; each != nullptr; each = each->next) {
    while (each->pid == pid && each->channel >= 0 && ChannelReady(each)) {
    }
  }
  for (Exec* each = execs_; each != nullptr; each = each->next) {
    while (each->pid == pid && !each->exited && each->channel >= 0 &&
           ExecChannelReady(each, succeeded)) {
    }
    if (each->pid != pid || each->exited || !each->by_zygote) continue;
    if (each == cloned_) TakeCloned();
    if (!succeeded && !each->failed_start) each->failed_start = !HasExeced(pid);
  }
}

// The process before it (kMoved), which is about to end, may still hold the channel of one that has
// come and gone.
void Pod::SettleStart(pid_t pid) {
  for (Container* each = containers_; each != nullptr; each = each->next) {
    if (each->pid == pid && each->channel >= 0 && !each->moving && !each->launcher)
      ChannelEnded(each);
  }
}

void Pod::Reap() {
  while (true) {
    siginfo_t info = {};
    const bool ended =
        waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid != 0;
    // Not before: what has ended may have been cloned just now.
    SettleCloned();
    if (!ended) return;
    const pid_t pid = info.si_pid;
    if (!KnowsProcess(pid)) SettleStarts();
    ReadChannels(pid, info.si_code == CLD_EXITED && info.si_status == 0);
    SettleStart(pid);
    // Whoever waits for an exec does not wait until it is reaped.
    for (Exec* each = execs_; each != nullptr; each = each->next) {
      if (each->pid != pid || each->exited) continue;
      ExecExited(each, StatusOf(info));
      break;
    }
    int status;
    if (waitpid(pid, &status, WNOHANG) != pid) continue;
    if (pid == init_pid_) init_pid_ = -1;
    if (zygote_.Is(pid)) ZygoteEnded();
    for (Container* each = containers_; each != nullptr; each = each->next) {
      if (each->pid != pid) continue;
      Exited(each, status);
      break;
    }
  }
}

void Pod::Exited(Container* container, int status) {
  container->pid = -1;
  if (container->moving && !container->failed_start && status == 0) return;  // and which is to come
  if (container->moving && !container->failed_start) {
    container->failed_start = true;
    container->failure = {.step = -1, .error = ECHILD, .call = "enter user namespace"};
  }
  if (container->launcher && !container->failed_start) return LauncherExited(container, status);
  container->exit.exit_code = ExitCode(status);
  container->exit.finished_at = WallNanoseconds();
  loop_->Disarm(&container->stop_timer);
  if (container->failed_start) {
    if (container->failure.call[0] == '\0') container->failure = SilentFailure(status);
    return FailStart(container);
  }
  // Where the container had no pid namespace of its own, others of its processes may live on: it
  // ends as a whole.
  if (container->cgroup >= 0) KillCgroup(container->cgroup);
  // Its descriptors go, and their numbers may come to be another container's.
  if (cloned_ != nullptr && cloned_->container == container) EndZygote();
  for (Exec* each = execs_; each != nullptr; each = each->next) {
    if (each->container == container) KillExec(each);
  }
  container->state = Container::State::kDraining;
  loop_->Arm(&container->drain_timer, kDrainMs);
  for (int which = 0; which < 2; ++which) {
    while (container->output[which] >= 0 && Pump(container, which) == Pumped::kData) {
    }
  }
  if (container->output[0] < 0 && container->output[1] < 0) FinishExit(container);
}

void Pod::FinishExit(Container* container) {
  if (container->state != Container::State::kDraining) return;
  FAILPOINT("monitor.exit");
  loop_->Disarm(&container->drain_timer);
  loop_->Disarm(&container->dropped_timer);
  for (int which = 0; which < 2; ++which) {
    DrainLog(container, which);
    CloseOutput(container, which);
  }
  CloseConsole(container);
  CloseFd(&container->stdin_write);
  CloseFd(&container->pid_dir);
  if (container->exit.exit_code == 128 + SIGKILL && !container->stop_requested &&
      OomKills(container->memory_cgroup) > 0) {
    container->exit.flags |= wire::kExitOom;
  }
  memcpy(container->exit.container_id, container->id, wire::kIdBytes);
  container->exit.log_dropped_bytes = container->log.dropped_bytes();
  container->log.SetFile(-1);
  container->state = Container::State::kExited;
  WriteExitRecord(*container);
  RemoveSpareLeaf(container);
  CloseFd(&container->pidfd);
  CloseFd(&container->cgroup);
  CloseFd(&container->memory_cgroup);
  while (container->task_count > 0) CloseFd(&container->tasks[--container->task_count]);
  FAILPOINT("monitor.announce");
  Tell(container, SendExit);
  EndAttachments(container->id, container->exit);
}

Pod::ExitRecordNames::ExitRecordNames(const char* container_id) {
  snprintf(name, sizeof(name), "%.*s.exit", wire::kIdBytes, container_id);
  snprintf(temporary, sizeof(temporary), "%s.tmp", name);
}

// What a record takes of the file system is taken at the start: at the end there may be none left.
bool Pod::ReserveExitRecord(const char* container_id) {
  const ExitRecordNames names(container_id);
  const int fd = openat(state_dir_, names.temporary,
                        O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (fd < 0) return false;
  const char blank[kExitRecordBytes] = {};
  const ssize_t written = write(fd, blank, sizeof(blank));
  const int error = written < 0 ? errno : ENOSPC;
  close(fd);
  if (written == sizeof(blank)) return true;
  unlinkat(state_dir_, names.temporary, 0);
  errno = error;
  return false;
}

void Pod::GiveUpExitRecord(const char* container_id) {
  unlinkat(state_dir_, ExitRecordNames(container_id).temporary, 0);
}

bool Pod::WriteExitRecord(const Container& container) {
  const ExitRecordNames names(container.id);
  char text[kExitRecordBytes];
  const int length =
      snprintf(text, sizeof(text),
               "version=1\nexit_code=%d\nflags=%u\nfinished_at=%lld\nlog_dropped_bytes=%llu\n",
               container.exit.exit_code, container.exit.flags,
               static_cast<long long>(container.exit.finished_at),
               static_cast<unsigned long long>(container.exit.log_dropped_bytes));
  if (FAULT("monitor.exit_record")) return false;
  const int fd =
      openat(state_dir_, names.temporary, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (fd < 0) return false;
  const bool written = write(fd, text, length) == length && ftruncate(fd, length) == 0;
  close(fd);
  return written && !FAULT("monitor.exit_rename") &&
         renameat(state_dir_, names.temporary, state_dir_, names.name) == 0;
}

}  // namespace berth::monitor
