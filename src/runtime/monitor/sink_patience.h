// How long one who is attached may keep a container waiting: kMs altogether for every kBytes that
// it takes. While it has room nothing runs out, whoever else the container waits for. For
// pod_output.cc; times are BootMilliseconds. Not thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>

namespace berth::monitor {

class SinkPatience {
 public:
  static constexpr int64_t kMs = 10000;
  static constexpr size_t kBytes = 64 << 10;

  // The container begins to wait; returns how long it will at most.
  int64_t Begin(int64_t now_ms) {
    since_ms_ = now_ms;
    return left_ms_;
  }
  void End(int64_t now_ms) { left_ms_ -= now_ms - since_ms_; }
  void Take(size_t bytes) {
    taken_ += bytes;
    if (taken_ < kBytes) return;
    taken_ = 0;
    left_ms_ = kMs;
  }

 private:
  int64_t left_ms_ = kMs, since_ms_ = 0;
  size_t taken_ = 0;  // since there were kMs left
};

}  // namespace berth::monitor
