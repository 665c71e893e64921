// The clock of deadlines, time-outs and pauses: no change of the node's time moves it, and it goes
// on while the machine sleeps. Wall time (absl::Now) is for what people and other programs read.
// hack/layers knows the files that may ask for it.
#pragma once

#include <time.h>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace berth {

// CLOCK_BOOTTIME. To be compared with its own values only.
inline absl::Time SteadyNow() {
  timespec now = {};
  ::clock_gettime(CLOCK_BOOTTIME, &now);
  return absl::TimeFromTimespec(now);
}

// Mutex::AwaitWithDeadline with a deadline of this clock: false once it has passed and the
// condition does not hold. Abseil itself waits by wall time: when that is set back, a wait that is
// under way takes as much longer.
bool AwaitUntil(absl::Mutex& mu, const absl::Condition& condition, absl::Time deadline)
    ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);

// The same, from now on.
inline bool AwaitFor(absl::Mutex& mu, const absl::Condition& condition, absl::Duration timeout)
    ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu) {
  return AwaitUntil(mu, condition, SteadyNow() + timeout);
}

}  // namespace berth
