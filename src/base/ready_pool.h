// Things that are made before they are asked for, by a thread, in quiet moments. What was taken
// nobody gets again. Thread-safe.
#pragma once

#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "src/base/log.h"
#include "src/base/steady_time.h"

namespace berth {

template <typename T>
class ReadyPool {
 public:
  struct Options {
    std::string what;  // for the log: "pod network"
    size_t size = 0;   // 0: nothing is ever ready
    const Log* log = nullptr;
  };
  // `make` is called on the pool's thread; after a failure again a second later.
  using Make = std::function<absl::StatusOr<T>()>;
  ReadyPool(Options options, Make make) : options_(std::move(options)), make_(std::move(make)) {
    if (options_.size > 0) thread_ = std::thread([this] { Loop(); });
  }
  ReadyPool(const ReadyPool&) = delete;
  ReadyPool& operator=(const ReadyPool&) = delete;
  ~ReadyPool() {
    {
      absl::MutexLock lock(&mu_);
      stopping_ = true;
    }
    if (thread_.joinable()) thread_.join();
  }

  // Begins to fill; until then the node is left alone. Again: nothing.
  void Start() {
    absl::MutexLock lock(&mu_);
    filling_ = true;
  }

  // One that is ready; nullopt: none.
  std::optional<T> Take() {
    absl::MutexLock lock(&mu_);
    taken_ = true;
    if (ready_.empty()) return std::nullopt;
    std::optional<T> ready(std::move(ready_.front()));
    ready_.pop_front();
    return ready;
  }

  // What was taken but never given to anybody.
  void PutBack(T ready) {
    absl::MutexLock lock(&mu_);
    ready_.push_front(std::move(ready));
  }

  // All that is ready, and no more is made until the next Start.
  std::deque<T> Drain() {
    absl::MutexLock lock(&mu_);
    filling_ = false;
    const auto idle = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return !making_; };
    mu_.Await(absl::Condition(&idle));
    return std::exchange(ready_, {});
  }

  size_t ready() const {
    absl::MutexLock lock(&mu_);
    return ready_.size();
  }

 private:
  // A pod that is being started does not compete with the making of what the next one needs, as
  // long as enough is left.
  static constexpr absl::Duration kQuiet = absl::Milliseconds(20);
  static constexpr absl::Duration kHalfEmptyQuiet = absl::Milliseconds(5);
  static constexpr absl::Duration kRetryPause = absl::Seconds(1);

  // How long nothing is to have been taken before one more is made.
  absl::Duration Quiet() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    if (ready_.size() * 2 > options_.size) return kQuiet;
    return ready_.size() * 4 > options_.size ? kHalfEmptyQuiet : absl::ZeroDuration();
  }

  void Loop() {
    absl::MutexLock lock(&mu_);
    const auto work = [this]()
                          ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return stopping_ || ShouldFill(); };
    const auto disturbed = [this]()
                               ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return stopping_ || taken_; };
    while (true) {
      mu_.Await(absl::Condition(&work));
      while (!stopping_ && Quiet() > absl::ZeroDuration()) {
        taken_ = false;
        if (!AwaitFor(mu_, absl::Condition(&disturbed), Quiet())) break;
      }
      if (stopping_) return;
      if (!ShouldFill()) continue;
      making_ = true;
      mu_.Unlock();
      absl::StatusOr<T> made = make_();
      mu_.Lock();
      making_ = false;
      const bool failed_before = failed_;
      failed_ = !made.ok();
      if (made.ok()) {
        ready_.push_back(*std::move(made));
        continue;
      }
      if (!failed_before && options_.log != nullptr)
        options_.log->Warning(absl::StrCat("no ", options_.what, " is made in advance"),
                              {{"error", made.status().message()}});
      AwaitFor(mu_, absl::Condition(&stopping_), kRetryPause);
    }
  }
  bool ShouldFill() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    return filling_ && ready_.size() < options_.size;
  }

  const Options options_;
  const Make make_;
  mutable absl::Mutex mu_;
  std::deque<T> ready_ ABSL_GUARDED_BY(mu_);
  bool filling_ ABSL_GUARDED_BY(mu_) = false;  // started
  bool making_ ABSL_GUARDED_BY(mu_) = false;   // make_ is being called
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  bool failed_ ABSL_GUARDED_BY(mu_) = false;  // the last time
  bool taken_ ABSL_GUARDED_BY(mu_) = false;   // since the thread looked last
  std::thread thread_;
};

}  // namespace berth
