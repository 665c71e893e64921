// One lock for each key, made when it is first held and dropped when nobody holds or awaits it.
// Thread-safe.
#pragma once

#include <string>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"

namespace berth {

class KeyedLocks {
 public:
  class [[nodiscard]] Hold {
   public:
    Hold(KeyedLocks* locks, std::string key) : locks_(locks), key_(std::move(key)) {}
    Hold(Hold&& other) noexcept
        : locks_(std::exchange(other.locks_, nullptr)), key_(std::move(other.key_)) {}
    Hold& operator=(Hold&&) = delete;
    ~Hold() {
      if (locks_ != nullptr) locks_->Release(key_);
    }

   private:
    KeyedLocks* locks_;
    std::string key_;
  };

  // Waits until the key is free.
  Hold Lock(absl::string_view key) {
    std::string owned(key);
    absl::MutexLock lock(&mu_);
    const auto free = [&]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return !held_.contains(owned); };
    mu_.Await(absl::Condition(&free));
    held_.insert(owned);
    return Hold(this, std::move(owned));
  }

 private:
  void Release(const std::string& key) {
    absl::MutexLock lock(&mu_);
    held_.erase(key);
  }

  absl::Mutex mu_;
  absl::flat_hash_set<std::string> held_ ABSL_GUARDED_BY(mu_);
};

}  // namespace berth
