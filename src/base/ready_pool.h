// Things that are made before they are asked for, by a thread, in quiet moments: taking one wakes
// nobody. What was taken nobody gets again. Thread-safe.
#pragma once

#include <algorithm>
#include <deque>
#include <functional>
#include <memory>
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
#include "src/base/quiet_timer.h"
#include "src/base/start_thread.h"
#include "src/base/status_macros.h"
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
  // ResourceExhausted, or an errno: there is no thread or no timer to be had.
  static absl::StatusOr<std::unique_ptr<ReadyPool>> Create(Options options, Make make) {
    ASSIGN_OR_RETURN(QuietTimer timer, QuietTimer::Create(options.what));
    std::unique_ptr<ReadyPool> pool(
        new ReadyPool(std::move(options), std::move(make), std::move(timer)));
    if (pool->options_.size > 0) {
      ASSIGN_OR_RETURN(pool->thread_,
                       StartThread(absl::StrCat("that makes each ", pool->options_.what),
                                   [raw = pool.get()] { raw->Loop(); }));
    }
    return pool;
  }
  ReadyPool(const ReadyPool&) = delete;
  ReadyPool& operator=(const ReadyPool&) = delete;
  ~ReadyPool() {
    {
      absl::MutexLock lock(&mu_);
      stopping_ = true;
      timer_.Set(absl::InfinitePast());
    }
    if (thread_.joinable()) thread_.join();
  }

  // Begins to fill; until then the node is left alone. Again: nothing.
  void Start() {
    absl::MutexLock lock(&mu_);
    if (std::exchange(filling_, true)) return;
    last_taken_ = absl::InfinitePast();
    SetTimer();
  }

  // One that is ready; nullopt: none.
  std::optional<T> Take() {
    absl::MutexLock lock(&mu_);
    last_taken_ = SteadyNow();
    std::optional<T> ready;
    if (!ready_.empty()) {
      ready.emplace(std::move(ready_.front()));
      ready_.pop_front();
    }
    SetTimer();
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

  ReadyPool(Options options, Make make, QuietTimer timer)
      : options_(std::move(options)), make_(std::move(make)), timer_(std::move(timer)) {}

  // When one more is to be made, unless more are taken until then.
  absl::Time Due() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    absl::Duration quiet;
    if (ready_.size() * 2 > options_.size) {
      quiet = kQuiet;
    } else if (ready_.size() * 4 > options_.size) {
      quiet = kHalfEmptyQuiet;
    }
    return std::max(last_taken_ + quiet, not_before_);
  }

  // One that is set too early is set again by the thread.
  void SetTimer() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    if (!ShouldFill() || Due() >= timer_due_) return;
    timer_due_ = Due();
    timer_.Set(timer_due_);
  }

  void Loop() {
    while (true) {
      timer_.Await();
      absl::MutexLock lock(&mu_);
      timer_due_ = absl::InfiniteFuture();
      while (!stopping_ && ShouldFill() && SteadyNow() >= Due()) MakeOne();
      if (stopping_) return;
      SetTimer();
    }
  }

  void MakeOne() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    making_ = true;
    mu_.Unlock();
    absl::StatusOr<T> made = make_();
    mu_.Lock();
    making_ = false;
    const bool failed_before = std::exchange(failed_, !made.ok());
    if (made.ok()) {
      ready_.push_back(*std::move(made));
      return;
    }
    if (!failed_before && options_.log != nullptr)
      options_.log->Warning(absl::StrCat("no ", options_.what, " is made in advance"),
                            {{"error", made.status().message()}});
    not_before_ = SteadyNow() + kRetryPause;
  }

  bool ShouldFill() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    return filling_ && ready_.size() < options_.size;
  }

  const Options options_;
  const Make make_;
  QuietTimer timer_;
  mutable absl::Mutex mu_;
  std::deque<T> ready_ ABSL_GUARDED_BY(mu_);
  bool filling_ ABSL_GUARDED_BY(mu_) = false;  // started
  bool making_ ABSL_GUARDED_BY(mu_) = false;   // make_ is being called
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  bool failed_ ABSL_GUARDED_BY(mu_) = false;  // the last time
  absl::Time last_taken_ ABSL_GUARDED_BY(mu_) = absl::InfinitePast();
  absl::Time not_before_ ABSL_GUARDED_BY(mu_) = absl::InfinitePast();  // after a failure
  absl::Time timer_due_ ABSL_GUARDED_BY(mu_) = absl::InfiniteFuture();
  std::thread thread_;
};

}  // namespace berth
