// Layers that a pull brought before it failed or was cancelled, kept for a while for the next try.
// Thread-safe.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace berth {

class KeptLayers {
 public:
  using Release = std::function<void(const std::vector<int64_t>&)>;

  // `release` is called on a thread of its own, `keep` after Keep.
  KeptLayers(absl::Duration keep, Release release);
  // Releases nothing more.
  ~KeptLayers();

  void Keep(std::vector<int64_t> layers);

 private:
  void Run();

  const absl::Duration keep_;
  const Release release_;
  absl::Mutex mu_;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  std::deque<std::pair<absl::Time, std::vector<int64_t>>> kept_ ABSL_GUARDED_BY(mu_);
  std::thread thread_;
};

}  // namespace berth
