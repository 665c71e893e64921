// A fixed number of buffers of one size, shared by all downloads of a pull: what is fetched ahead
// is bounded by it. Thread-safe.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace berth {

class BufferPool {
 public:
  BufferPool(int count, size_t bytes) : bytes_(bytes), left_(count) {}
  size_t bytes() const { return bytes_; }

  // An empty string with room for bytes(), or null once `stopped`, which is asked from time to
  // time.
  std::unique_ptr<std::string> Acquire(absl::FunctionRef<bool()> stopped) {
    absl::MutexLock lock(&mu_);
    const auto some = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
      return left_ > 0 || !free_.empty();
    };
    while (!mu_.AwaitWithTimeout(absl::Condition(&some), absl::Milliseconds(20))) {
      if (stopped()) return nullptr;
    }
    if (stopped()) return nullptr;
    if (!free_.empty()) {
      std::unique_ptr<std::string> buffer = std::move(free_.back());
      free_.pop_back();
      return buffer;
    }
    --left_;
    auto buffer = std::make_unique<std::string>();
    buffer->reserve(bytes_);
    return buffer;
  }

  void Release(std::unique_ptr<std::string> buffer) {
    buffer->clear();
    absl::MutexLock lock(&mu_);
    free_.push_back(std::move(buffer));
  }

 private:
  const size_t bytes_;
  absl::Mutex mu_;
  int left_ ABSL_GUARDED_BY(mu_);  // never made so far
  std::vector<std::unique_ptr<std::string>> free_ ABSL_GUARDED_BY(mu_);
};

}  // namespace berth
