// A timer that one thread waits for and others set: setting it wakes nobody before it is due.
// Thread-safe.
#pragma once

#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "src/base/status_macros.h"
#include "src/base/unique_fd.h"

namespace berth {

class QuietTimer {
 public:
  // An error of timerfd_create(2). `what` is for that.
  static absl::StatusOr<QuietTimer> Create(absl::string_view what) {
    UniqueFd fd(::timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC));
    if (!fd.valid()) return ErrnoStatus("timerfd_create", what);
    return QuietTimer(std::move(fd));
  }

  // Of the clock of SteadyNow; instead of what it was set to before.
  void Set(absl::Time due) {
    // All zero would never be due.
    const absl::Time first = absl::UnixEpoch() + absl::Nanoseconds(1);
    const itimerspec at = {.it_interval = {}, .it_value = absl::ToTimespec(std::max(due, first))};
    ::timerfd_settime(fd_.get(), TFD_TIMER_ABSTIME, &at, nullptr);
  }

  // Until it was due once more.
  void Await() {
    uint64_t expirations = 0;
    while (::read(fd_.get(), &expirations, sizeof(expirations)) < 0 && errno == EINTR) {
    }
  }

 private:
  explicit QuietTimer(UniqueFd fd) : fd_(std::move(fd)) {}

  UniqueFd fd_;
};

}  // namespace berth
