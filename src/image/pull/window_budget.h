// The memory that the decoders of one pull may hold together for their windows: zstd needs up to
// 128 MiB for one layer, and as many layers as are unpacked at once would need a multiple of it.
// Thread-safe.
#pragma once

#include <cstdint>

#include "absl/synchronization/mutex.h"

namespace berth {

class WindowBudget {
 public:
  explicit WindowBudget(int64_t bytes) : bytes_(bytes) {}

  // A decoder's part; given back when it goes. Owned by one thread.
  class Share {
   public:
    explicit Share(WindowBudget& budget) : budget_(budget) {}
    ~Share() { budget_.Give(held_); }
    Share(const Share&) = delete;
    Share& operator=(const Share&) = delete;

    // Waits until the others leave room for `bytes`; more than the whole budget waits until they
    // hold nothing. What is already held counts, so that a decoder never waits for itself.
    void GrowTo(int64_t bytes) {
      if (bytes <= held_) return;
      budget_.Give(held_);
      budget_.Take(bytes);
      held_ = bytes;
    }

   private:
    WindowBudget& budget_;
    int64_t held_ = 0;
  };

 private:
  void Take(int64_t bytes) {
    const auto fits = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
      return held_ == 0 || held_ + bytes <= bytes_;
    };
    absl::MutexLock lock(&mu_, absl::Condition(&fits));
    held_ += bytes;
  }
  void Give(int64_t bytes) {
    absl::MutexLock lock(&mu_);
    held_ -= bytes;
  }

  const int64_t bytes_;
  absl::Mutex mu_;
  int64_t held_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace berth
