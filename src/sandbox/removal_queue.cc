#include "src/sandbox/removal_queue.h"

#include <fcntl.h>

#include <utility>

#include "src/base/start_thread.h"
#include "src/base/status_macros.h"
#include "src/base/steady_time.h"
#include "src/kernel/file.h"

namespace berth {
namespace {

constexpr absl::Duration kPause = absl::Milliseconds(10);
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
  trees_.emplace(SteadyNow() + kPause, Tree{.path = std::move(path)});
}

bool RemovalQueue::IsStopping() const {
  absl::MutexLock lock(&mu_);
  return stopping_;
}

std::optional<RemovalQueue::Tree> RemovalQueue::Next() {
  absl::MutexLock lock(&mu_);
  while (!stopping_) {
    const absl::Time due = trees_.empty() ? absl::InfiniteFuture() : trees_.begin()->first;
    if (due <= SteadyNow()) return std::move(trees_.extract(trees_.begin()).mapped());
    const auto sooner = [this, due]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
      return stopping_ || (!trees_.empty() && trees_.begin()->first < due);
    };
    AwaitUntil(mu_, absl::Condition(&sooner), due);
  }
  return std::nullopt;
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
    trees_.emplace(SteadyNow() + kTryAgain, *std::move(tree));
  }
}

}  // namespace berth
