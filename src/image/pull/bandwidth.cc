#include "src/image/pull/bandwidth.h"

#include <algorithm>

#include "absl/time/clock.h"
#include "src/base/steady_time.h"

namespace berth {
namespace {

// What may come at once: a tenth of a second's worth, and not less than one receive buffer, since
// bytes are taken as they come.
double BurstOf(int64_t bytes_per_second) {
  return std::max(16384.0, static_cast<double>(bytes_per_second) / 10);
}

}  // namespace

Bandwidth::Bandwidth(int64_t bytes_per_second)
    : limited_(bytes_per_second > 0),
      bucket_(static_cast<double>(std::max<int64_t>(1, bytes_per_second)),
              BurstOf(bytes_per_second), SteadyNow()) {}

void Bandwidth::SetLimit(int64_t bytes_per_second) {
  absl::MutexLock lock(&mu_);
  limited_ = bytes_per_second > 0;
  if (limited_)
    bucket_.Change(static_cast<double>(bytes_per_second), BurstOf(bytes_per_second), SteadyNow());
}

absl::Duration Bandwidth::Take(int64_t bytes) {
  absl::Duration wait;
  {
    absl::MutexLock lock(&mu_);
    if (!limited_) return absl::ZeroDuration();
    wait = bucket_.Take(static_cast<double>(bytes), SteadyNow());
  }
  if (wait > absl::ZeroDuration()) absl::SleepFor(wait);
  return wait;
}

}  // namespace berth
