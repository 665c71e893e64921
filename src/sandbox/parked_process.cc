#include "src/sandbox/parked_process.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "src/base/status_macros.h"

namespace berth {

absl::StatusOr<ParkedProcess> ParkedProcess::Start(int monitor_executable) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return ErrnoStatus("pipe", "parked process");
  const UniqueFd read_end(ends[0]);
  UniqueFd write_end(ends[1]);
  ASSIGN_OR_RETURN(SpawnedProcess process, Spawn({.executable_fd = monitor_executable,
                                                  .argv = {"berth-monitor", "--park"},
                                                  .fds = {read_end.get(), -1, -1}}));
  return ParkedProcess(std::move(process), std::move(write_end));
}

ParkedProcess& ParkedProcess::operator=(ParkedProcess&& other) noexcept {
  if (this == &other) return *this;
  End();
  process_ = std::move(other.process_);
  pipe_ = std::move(other.pipe_);
  return *this;
}

void ParkedProcess::End() {
  if (!process_.pidfd.valid()) return;
  const int pidfd = process_.pidfd.get();
  ::syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, nullptr, 0);
  while (::waitid(P_PIDFD, static_cast<id_t>(pidfd), nullptr, WEXITED) != 0 && errno == EINTR) {
  }
  process_.pidfd.reset();
  pipe_.reset();
}

}  // namespace berth
