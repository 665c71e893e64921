// Several operations at a time.
#pragma once

#include <atomic>
#include <mutex>
#include <thread>
#include <vector>

#include "absl/status/status.h"

namespace berth::bench {

// Runs `work(i)` for i in [0, count) on `threads` threads; the first error ends it and is returned.
template <typename Work>
absl::Status InParallel(int count, int threads, Work work) {
  std::atomic<int> next(0);
  std::mutex mutex;
  absl::Status first;
  const auto loop = [&] {
    for (int i = next++; i < count; i = next++) {
      const absl::Status status = work(i);
      if (status.ok()) continue;
      const std::lock_guard<std::mutex> lock(mutex);
      if (first.ok()) first = status;
      next = count;
    }
  };
  std::vector<std::thread> pool;
  for (int i = 0; i < threads; ++i) pool.emplace_back(loop);
  for (std::thread& thread : pool) thread.join();
  return first;
}

}  // namespace berth::bench
