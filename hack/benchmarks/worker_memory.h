// Watches how much memory the pulling processes of a daemon take at most, while one lives.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <thread>

namespace berth::bench {

class WorkerMemory {
 public:
  // Of `daemon`'s children that are named berth-pull; looks at them every millisecond.
  explicit WorkerMemory(pid_t daemon);
  ~WorkerMemory();

  // VmHWM, the largest resident set that a worker ever had (proc(5)), in KiB; 0 if none was seen.
  int64_t peak_kib() const { return peak_kib_; }

 private:
  void Watch();

  const pid_t daemon_;
  std::atomic<bool> stop_ = false;
  std::atomic<int64_t> peak_kib_ = 0;
  std::thread thread_;
};

}  // namespace berth::bench
