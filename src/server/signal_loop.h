// What berthd's main thread does while the others serve: it takes the signals, tells the service
// manager that it is alive, and sees when there is nothing to do.
#pragma once

#include <signal.h>

#include <cstdint>
#include <functional>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace berth {

// Blocks in this thread, and in those that it makes from now on, what a SignalLoop takes, and
// ignores SIGPIPE. Called before there is another thread.
sigset_t BlockServiceSignals();

struct SignalLoop {
  // Blocked in all threads of the process.
  sigset_t signals;
  std::function<void()> reload;  // SIGHUP
  // Whether a client is served within `patience`, asked before each WATCHDOG=1: a daemon that
  // serves nobody is better restarted, which costs no pod.
  std::function<absl::Status(absl::Duration patience)> check;
  std::function<void(const absl::Status&)> on_failed_check;
  absl::Duration watchdog_patience = absl::InfiniteDuration();
  // How much was done so far. After each time something was done, `on_rest` is called once: when
  // nothing was done from one look to the next.
  std::function<uint64_t()> work_done;
  std::function<void()> on_rest;
  absl::Duration look_interval = absl::InfiniteDuration();

  // Until another signal than SIGHUP, which is returned.
  int Run() const;
};

}  // namespace berth
