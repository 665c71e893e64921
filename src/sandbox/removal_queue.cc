#include "src/sandbox/removal_queue.h"

#include <fcntl.h>

#include <utility>

#include "src/base/start_thread.h"
#include "src/base/status_macros.h"
#include "src/kernel/file.h"

namespace berth {

absl::StatusOr<std::unique_ptr<RemovalQueue>> RemovalQueue::Start() {
  std::unique_ptr<RemovalQueue> queue(new RemovalQueue);
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
  paths_.push_back(std::move(path));
}

bool RemovalQueue::IsStopping() const {
  absl::MutexLock lock(&mu_);
  return stopping_;
}

void RemovalQueue::Run() {
  while (true) {
    std::string path;
    {
      const auto due = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
        return stopping_ || !paths_.empty();
      };
      absl::MutexLock lock(&mu_, absl::Condition(&due));
      if (stopping_) return;
      path = std::move(paths_.front());
      paths_.pop_front();
    }
    RemoveTreeAt(AT_FDCWD, path, [this] { return !IsStopping(); }).IgnoreError();
  }
}

}  // namespace berth
