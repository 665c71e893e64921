#include "src/runtime/monitor/slice.h"

#include <sched.h>

#include "src/runtime/monitor/syscalls.h"

namespace berth::monitor {
namespace {

constexpr uint64_t kShortestNanoseconds = 100'000;  // sched_setattr(2) takes none that is shorter

// A refusal leaves what was, which is only slower.
void SetSlice(uint64_t nanoseconds) {
  sys::SchedAttr attr;
  if (sys::SchedGetattr(&attr) != 0 || attr.policy != SCHED_OTHER) return;
  // That nothing inherits the slice would take a niceness below 0 as well from what is started.
  if (attr.nice < 0) return;
  attr.flags = sys::kSchedResetOnFork;
  attr.runtime = nanoseconds;
  sys::SchedSetattr(&attr);
}

}  // namespace

void TakeShortSlices() { SetSlice(kShortestNanoseconds); }

void TakeUsualSlices() { SetSlice(0); }

}  // namespace berth::monitor
