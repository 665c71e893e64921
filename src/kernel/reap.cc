#include "src/kernel/reap.h"

#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>
#include <utility>

#include "src/base/start_thread.h"

namespace berth {

void KillAndReap(UniqueFd pidfd, bool hangs) {
  ::syscall(SYS_pidfd_send_signal, pidfd.get(), SIGKILL, nullptr, 0);
  const auto id = static_cast<id_t>(pidfd.get());
  if (!hangs) {
    ::waitid(P_PIDFD, id, nullptr, WEXITED);
    return;
  }
  absl::StatusOr<std::thread> reaper =
      StartThread("to reap a helper",
                  [id, pidfd = std::move(pidfd)] { ::waitid(P_PIDFD, id, nullptr, WEXITED); });
  if (reaper.ok()) reaper->detach();
}

}  // namespace berth
