#include "src/sandbox/removal_queue.h"

#include <fcntl.h>

#include <utility>

#include "src/base/start_thread.h"
#include "src/base/status_macros.h"
#include "src/base/steady_time.h"
#include "src/kernel/file.h"

namespace berth {
namespace {

constexpr absl::Duration kTryAgain = absl::Seconds(1);  // what has failed

}  // namespace

absl::StatusOr<std::unique_ptr<RemovalQueue>> RemovalQueue::Start(const Log& log) {
  std::unique_ptr<RemovalQueue> queue(new RemovalQueue(log));
  ASSIGN_OR_RETURN(queue->thread_,
                   StartThread("to empty the trash", [raw = queue.get()] { raw->Run(); }));
  return queue;
}

RemovalQueue::~RemovalQueue() {
  {
    absl::MutexLock lock(&mu_);
    stopping_ = true;
  }
  if (thread_.joinable()) thread_.join();
}

void RemovalQueue::Add(std::string path) {
  absl::MutexLock lock(&mu_);
  trees_.push_back({.path = std::move(path)});
}

bool RemovalQueue::IsStopping() const {
  absl::MutexLock lock(&mu_);
  return stopping_;
}

std::optional<RemovalQueue::Tree> RemovalQueue::Next() {
  const auto due = [this]()
                       ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return stopping_ || !trees_.empty(); };
  absl::MutexLock lock(&mu_);
  if (!AwaitUntil(mu_, absl::Condition(&due),
                  failed_.empty() ? absl::InfiniteFuture() : try_again_at_))
    trees_ = std::exchange(failed_, {});
  if (stopping_) return std::nullopt;
  Tree tree = std::move(trees_.front());
  trees_.pop_front();
  return tree;
}

void RemovalQueue::Run() {
  while (std::optional<Tree> tree = Next()) {
    const absl::Status removed =
        RemoveTreeAt(AT_FDCWD, tree->path, [this] { return !IsStopping(); });
    if (removed.ok() || absl::IsCancelled(removed)) continue;
    if (!std::exchange(tree->told, true))
      log_.Warning("cannot delete from trash yet",
                   {{"path", tree->path}, {"error", removed.message()}});
    absl::MutexLock lock(&mu_);
    failed_.push_back(*std::move(tree));
    try_again_at_ = SteadyNow() + kTryAgain;
  }
}

}  // namespace berth
