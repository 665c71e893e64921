#include "src/server/signal_loop.h"

#include <cerrno>

#include "src/server/notify.h"

namespace berth {

sigset_t BlockServiceSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGHUP, SIGTERM, SIGINT}) sigaddset(&signals, signal);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  signal(SIGPIPE, SIG_IGN);
  return signals;
}

int SignalLoop::Run() const {
  // One check that fails, or takes all its time, leaves time for a second.
  const absl::Duration interval = watchdog_patience / 3;
  const bool watched = watchdog_patience < absl::InfiniteDuration();
  const timespec timeout = absl::ToTimespec(interval);
  while (true) {
    const int signal =
        watched ? sigtimedwait(&signals, nullptr, &timeout) : sigwaitinfo(&signals, nullptr);
    if (signal == SIGHUP) {
      reload();
    } else if (signal > 0) {
      return signal;
    }
    if (!watched || (signal < 0 && errno != EAGAIN)) continue;
    if (const absl::Status able = check(interval / 2); able.ok()) {
      NotifyServiceManager("WATCHDOG=1");
    } else {
      on_failed_check(able);
    }
  }
}

}  // namespace berth
