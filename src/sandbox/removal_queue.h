// Trees of files that are removed without anybody waiting for it, by one thread, in the order in
// which they came. Thread-safe.
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"

namespace berth {

class RemovalQueue {
 public:
  // ResourceExhausted when there is no thread to be had.
  static absl::StatusOr<std::unique_ptr<RemovalQueue>> Start();
  ~RemovalQueue();  // what is not removed yet stays

  // What cannot be removed stays.
  void Add(std::string path);

 private:
  RemovalQueue() = default;
  void Run();
  bool IsStopping() const;

  mutable absl::Mutex mu_;
  std::deque<std::string> paths_ ABSL_GUARDED_BY(mu_);
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  std::thread thread_;
};

}  // namespace berth
