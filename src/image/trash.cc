#include "src/image/trash.h"

#include <stdio.h>

#include <cerrno>
#include <utility>

#include "absl/synchronization/notification.h"
#include "src/base/id.h"
#include "src/base/status_macros.h"
#include "src/kernel/file.h"

namespace berth {

absl::StatusOr<std::unique_ptr<Trash>> Trash::Open(UniqueFd directory, const Log* log) {
  ASSIGN_OR_RETURN(const std::vector<std::string> leftovers, ListDir(directory.get(), "."));
  std::unique_ptr<Trash> trash(new Trash(std::move(directory), log));
  for (const std::string& name : leftovers) {
    trash->Run([raw = trash.get(), name] { raw->Delete(name); });
  }
  trash->thread_ = std::thread([raw = trash.get()] { raw->Loop(); });
  return trash;
}

Trash::~Trash() {
  {
    absl::MutexLock lock(&mu_);
    stop_ = true;
  }
  thread_.join();
}

absl::Status Trash::Throw(int from, const std::string& name) {
  const std::string target = NewId();
  if (::renameat(from, name.c_str(), directory_.get(), target.c_str()) != 0) {
    return errno == ENOENT ? absl::OkStatus() : ErrnoStatus("rename to trash", name);
  }
  Run([this, target] { Delete(target); });
  return absl::OkStatus();
}

void Trash::Run(std::function<void()> work) {
  absl::MutexLock lock(&mu_);
  queue_.push_back(std::move(work));
}

void Trash::Flush() {
  absl::Notification done;
  Run([&done] { done.Notify(); });
  done.WaitForNotification();
}

void Trash::Delete(const std::string& name) {
  const absl::Status removed = RemoveTreeAt(directory_.get(), name);
  if (!removed.ok() && log_ != nullptr) {
    log_->Warning("cannot delete from trash", {{"error", std::string(removed.message())}});
  }
}

void Trash::Loop() {
  while (true) {
    std::function<void()> work;
    {
      absl::MutexLock lock(&mu_);
      const auto ready = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
        return stop_ || !queue_.empty();
      };
      mu_.Await(absl::Condition(&ready));
      if (stop_) return;
      work = std::move(queue_.front());
      queue_.pop_front();
    }
    work();
  }
}

}  // namespace berth
