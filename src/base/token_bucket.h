// How much may be done per second, with an allowance for what came after a quiet time. Who takes
// more than there is goes into debt and is told how long to wait for it. Not thread-safe; the clock
// is the caller's, so that a test needs none.
#pragma once

#include <algorithm>

#include "absl/time/time.h"

namespace berth {

class TokenBucket {
 public:
  // `per_second` > 0; `burst` is what is there at the beginning, and at most.
  TokenBucket(double per_second, double burst, absl::Time now)
      : per_second_(per_second), burst_(burst), tokens_(burst), filled_at_(now) {}

  // Zero, or the time after which the debt is paid. A clock that goes back earns nothing.
  absl::Duration Take(double tokens, absl::Time now) {
    Fill(now);
    tokens_ -= tokens;
    return tokens_ >= 0 ? absl::ZeroDuration() : absl::Seconds(-tokens_ / per_second_);
  }

  // From `now` on; a debt stays one, an allowance is cut to the new `burst`.
  void Change(double per_second, double burst, absl::Time now) {
    Fill(now);
    per_second_ = per_second;
    burst_ = burst;
    tokens_ = std::min(tokens_, burst_);
  }

 private:
  void Fill(absl::Time now) {
    if (now > filled_at_) {
      tokens_ = std::min(burst_, tokens_ + per_second_ * absl::ToDoubleSeconds(now - filled_at_));
    }
    filled_at_ = now;
  }

  double per_second_, burst_, tokens_;
  absl::Time filled_at_;
};

}  // namespace berth
