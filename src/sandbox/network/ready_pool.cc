#include "src/sandbox/network/ready_pool.h"

#include <utility>

#include "absl/time/time.h"
#include "src/base/steady_time.h"

namespace berth {
namespace {

// A pod that is being started does not compete with the making of the next one's network; but a
// pool that is half empty does not wait.
constexpr absl::Duration kQuiet = absl::Milliseconds(20);
constexpr absl::Duration kRetryPause = absl::Seconds(1);

}  // namespace

ReadyPool::ReadyPool(Options options, Make make) : options_(options), make_(std::move(make)) {
  if (options_.size > 0) thread_ = std::thread([this] { Loop(); });
}

ReadyPool::~ReadyPool() {
  {
    absl::MutexLock lock(&mu_);
    stopping_ = true;
  }
  if (thread_.joinable()) thread_.join();
}

void ReadyPool::Start() {
  absl::MutexLock lock(&mu_);
  filling_ = true;
}

std::optional<ReadyNetwork> ReadyPool::Take() {
  absl::MutexLock lock(&mu_);
  taken_ = true;
  if (ready_.empty()) return std::nullopt;
  ReadyNetwork ready = std::move(ready_.front());
  ready_.pop_front();
  return ready;
}

void ReadyPool::PutBack(ReadyNetwork ready) {
  absl::MutexLock lock(&mu_);
  ready_.push_front(std::move(ready));
}

std::deque<ReadyNetwork> ReadyPool::Drain() {
  absl::MutexLock lock(&mu_);
  filling_ = false;
  const auto idle = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return !making_; };
  mu_.Await(absl::Condition(&idle));
  return std::exchange(ready_, {});
}

size_t ReadyPool::ready() const {
  absl::MutexLock lock(&mu_);
  return ready_.size();
}

bool ReadyPool::ShouldFill() const { return filling_ && ready_.size() < options_.size; }

void ReadyPool::Loop() {
  absl::MutexLock lock(&mu_);
  const auto work = [this]()
                        ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return stopping_ || ShouldFill(); };
  const auto disturbed = [this]()
                             ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return stopping_ || taken_; };
  while (true) {
    mu_.Await(absl::Condition(&work));
    while (!stopping_ && ready_.size() * 2 > options_.size) {
      taken_ = false;
      if (!AwaitFor(mu_, absl::Condition(&disturbed), kQuiet)) break;
    }
    if (stopping_) return;
    if (!ShouldFill()) continue;
    making_ = true;
    mu_.Unlock();
    absl::StatusOr<ReadyNetwork> made = make_();
    mu_.Lock();
    making_ = false;
    const bool failed_before = failed_;
    failed_ = !made.ok();
    if (made.ok()) {
      ready_.push_back(*std::move(made));
      continue;
    }
    if (!failed_before && options_.log != nullptr)
      options_.log->Warning("no pod network is made in advance",
                            {{"error", made.status().message()}});
    AwaitFor(mu_, absl::Condition(&stopping_), kRetryPause);
  }
}

}  // namespace berth
