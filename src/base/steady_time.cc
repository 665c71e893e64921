#include "src/base/steady_time.h"

#include <sys/timerfd.h>
#include <unistd.h>

#include <atomic>
#include <map>
#include <thread>

#include "src/base/start_thread.h"
#include "src/base/unique_fd.h"

namespace berth {
namespace {

// Ends waits for conditions at their deadlines. One for the process, from the first wait on, like
// the kernel's timers themselves. Thread-safe.
class Alarm {
 public:
  struct Wait {
    explicit Wait(absl::Mutex& mutex) : mu(mutex) {}
    absl::Mutex& mu;
    std::atomic<bool> due = false;
    bool queued = false;  // guarded by the alarm's lock, like the next
    std::multimap<absl::Time, Wait*>::iterator at;
  };

  // `wait.due` is true, and its mutex was released since, soon after `at`. The caller holds it.
  // False: no timer or no thread is to be had.
  bool Add(Wait* wait, absl::Time at) {
    absl::MutexLock lock(&mu_);
    if (!Started()) return false;
    wait->at = waits_.emplace(at, wait);
    wait->queued = true;
    if (wait->at == waits_.begin()) Arm();
    return true;
  }
  void Remove(Wait* wait) {
    absl::MutexLock lock(&mu_);
    if (wait->queued) waits_.erase(wait->at);
  }

 private:
  bool Started() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    if (!timer_.valid()) timer_.reset(::timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC));
    if (!timer_.valid() || started_) return started_;
    absl::StatusOr<std::thread> thread =
        StartThread("of deadlines", [this, timer = timer_.get()] { Run(timer); });
    if (!thread.ok()) return false;
    thread->detach();
    started_ = true;
    return true;
  }

  void Run(int timer) {
    while (true) {
      uint64_t expirations = 0;
      [[maybe_unused]] const ssize_t length = ::read(timer, &expirations, sizeof expirations);
      absl::MutexLock lock(&mu_);
      const absl::Time now = SteadyNow();
      while (!waits_.empty() && waits_.begin()->first <= now) End(waits_.begin()->second, now);
      if (!waits_.empty()) Arm();
    }
  }

  // Whoever releases a mutex wakes those whose conditions have become true. One that is held may
  // just be released by who did not see it yet: again, then.
  void End(Wait* wait, absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    waits_.erase(wait->at);
    wait->due = true;
    wait->queued = !wait->mu.TryLock();
    if (wait->queued) {
      wait->at = waits_.emplace(now + absl::Milliseconds(1), wait);
    } else {
      wait->mu.Unlock();
    }
  }

  void Arm() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    const itimerspec at = {.it_interval = {}, .it_value = absl::ToTimespec(waits_.begin()->first)};
    ::timerfd_settime(timer_.get(), TFD_TIMER_ABSTIME, &at, nullptr);
  }

  absl::Mutex mu_;
  std::multimap<absl::Time, Wait*> waits_ ABSL_GUARDED_BY(mu_);
  UniqueFd timer_ ABSL_GUARDED_BY(mu_);
  bool started_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace

bool AwaitUntil(absl::Mutex& mu, const absl::Condition& condition, absl::Time deadline) {
  if (deadline == absl::InfiniteFuture()) {
    mu.Await(condition);
    return true;
  }
  if (condition.Eval()) return true;
  static Alarm& alarm = *new Alarm;  // its thread has no end
  Alarm::Wait wait(mu);
  if (SteadyNow() >= deadline) return false;
  if (!alarm.Add(&wait, deadline)) {
    while (!mu.AwaitWithTimeout(condition, deadline - SteadyNow())) {
      if (SteadyNow() >= deadline) return condition.Eval();
    }
    return true;
  }
  const auto over = [&] { return wait.due || condition.Eval(); };
  mu.Await(absl::Condition(&over));
  alarm.Remove(&wait);
  return condition.Eval();
}

}  // namespace berth
