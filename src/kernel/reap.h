// The end of helpers that look at what a pod supplied, which may hang them.
#pragma once

#include "src/base/unique_fd.h"

namespace berth {

// Kills a child and reaps it. With `hangs` nobody waits for that: a process in an uninterruptible
// wait dies when it wakes, and is reaped then.
void KillAndReap(UniqueFd pidfd, bool hangs);

}  // namespace berth
