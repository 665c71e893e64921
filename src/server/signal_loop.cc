#include "src/server/signal_loop.h"

#include <algorithm>

#include "src/base/steady_time.h"
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
  const absl::Duration check_interval = watchdog_patience / 3;
  absl::Time next_check = SteadyNow() + check_interval, next_look = SteadyNow() + look_interval;
  uint64_t seen_work = 0, rested_after = 0;
  while (true) {
    const absl::Duration left = std::min(next_check, next_look) - SteadyNow();
    const timespec timeout = absl::ToTimespec(std::max(left, absl::ZeroDuration()));
    const int signal = sigtimedwait(&signals, nullptr, &timeout);
    if (signal == SIGHUP) {
      reload();
    } else if (signal > 0) {
      return signal;
    }
    if (SteadyNow() >= next_check) {
      if (const absl::Status able = check(check_interval / 2); able.ok()) {
        NotifyServiceManager("WATCHDOG=1");
      } else {
        on_failed_check(able);
      }
      next_check = SteadyNow() + check_interval;
    }
    if (SteadyNow() >= next_look) {
      const uint64_t work = work_done();
      if (work == seen_work && work != rested_after) {
        rested_after = work;
        on_rest();
      }
      seen_work = work;
      next_look = SteadyNow() + look_interval;
    }
  }
}

}  // namespace berth
