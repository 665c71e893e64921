// How fast this berth-pull may receive, over all its connections: a token bucket that makes a
// receiver wait. The kernel's window then slows the sender. Thread-safe.
#pragma once

#include <cstdint>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "src/base/token_bucket.h"

namespace berth {

class Bandwidth {
 public:
  // 0: no limit.
  explicit Bandwidth(int64_t bytes_per_second);

  // From now on; for those that already wait, with their next bytes.
  void SetLimit(int64_t bytes_per_second);

  // To be called with what was received, before the next receive: returns when it was worth that
  // many bytes, and how long that took (which no stall guard should count as the sender's).
  absl::Duration Take(int64_t bytes);

 private:
  absl::Mutex mu_;
  bool limited_ ABSL_GUARDED_BY(mu_);
  TokenBucket bucket_ ABSL_GUARDED_BY(mu_);
};

}  // namespace berth
