// Pod networks that are made before their pods. Of the bridge: a namespace with eth0 in it,
// addresses and routes set, the host's end a port of the bridge but down; for CNI plugins one with
// `lo` alone. A thread fills the pool in quiet moments. What a pod has used nobody gets again.
// Thread-safe.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "src/base/log.h"
#include "src/base/unique_fd.h"

namespace berth {

struct ReadyNetwork {
  std::string id;       // of the pod that will have it; "" for CNI plugins
  uint32_t number = 0;  // in the address pool
  uint32_t mtu = 0;
  UniqueFd netns;
};

class ReadyPool {
 public:
  struct Options {
    size_t size = 0;  // 0: nothing is ever ready
    const Log* log = nullptr;
  };
  // `make` is called on the pool's thread; after a failure again a second later.
  using Make = std::function<absl::StatusOr<ReadyNetwork>()>;
  ReadyPool(Options options, Make make);
  ReadyPool(const ReadyPool&) = delete;
  ReadyPool& operator=(const ReadyPool&) = delete;
  ~ReadyPool();

  // Begins to fill; until then the node is left alone. Again: nothing.
  void Start();
  // One that is ready; nullopt: none.
  std::optional<ReadyNetwork> Take();
  // What was taken but never given to anybody.
  void PutBack(ReadyNetwork ready);
  // All that is ready, and no more is made until the next Start.
  std::deque<ReadyNetwork> Drain();

  size_t ready() const;

 private:
  void Loop();
  bool ShouldFill() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const Options options_;
  const Make make_;
  mutable absl::Mutex mu_;
  std::deque<ReadyNetwork> ready_ ABSL_GUARDED_BY(mu_);
  bool filling_ ABSL_GUARDED_BY(mu_) = false;  // started
  bool making_ ABSL_GUARDED_BY(mu_) = false;   // make_ is being called
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  bool failed_ ABSL_GUARDED_BY(mu_) = false;  // the last time
  bool taken_ ABSL_GUARDED_BY(mu_) = false;   // since the thread looked last
  std::thread thread_;
};

}  // namespace berth
