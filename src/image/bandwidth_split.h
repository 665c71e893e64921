// [image] bandwidth, the limit of all pulls together, divided evenly among those that run. Each
// berth-pull keeps to its part by itself (pull/bandwidth.h) and is told when the part changes.
// Thread-safe.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>

namespace berth {

class BandwidthSplit {
 public:
  // 0: no limit.
  explicit BandwidthSplit(int64_t bytes_per_second) : limit_(bytes_per_second) {}

  // A pull's part, for as long as it lives.
  class Share {
   public:
    explicit Share(BandwidthSplit& split) : split_(split) { ++split_.running_; }
    Share(const Share&) = delete;
    Share& operator=(const Share&) = delete;
    ~Share() { --split_.running_; }

    // Now, with as many pulls as run now; 0: no limit.
    int64_t bytes_per_second() const {
      if (split_.limit_ <= 0) return 0;
      return std::max<int64_t>(1, split_.limit_ / std::max(1, split_.running_.load()));
    }

   private:
    BandwidthSplit& split_;
  };

 private:
  const int64_t limit_;
  std::atomic<int> running_ = 0;
};

}  // namespace berth
