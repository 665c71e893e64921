// How soon this process has the CPU when it is woken.
#pragma once

namespace berth::monitor {

// Until it is told otherwise, this process takes the CPU from what it has started as soon as it
// wakes, where that runs a whole slice otherwise: milliseconds, on the same CPU. Nothing that it
// starts inherits that. Kernels before 6.12 know one slice for all.
void TakeShortSlices();
void TakeUsualSlices();

}  // namespace berth::monitor
