#include "src/image/trash.h"

#include <stdio.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/synchronization/notification.h"
#include "src/base/failpoint.h"
#include "src/base/id.h"
#include "src/base/status_macros.h"
#include "src/base/steady_time.h"
#include "src/kernel/file.h"

namespace berth {
namespace {

constexpr int kBatch = 32;  // inodes between two looks at the clock and the disk
constexpr absl::Duration kLookAgain = absl::Seconds(1);
constexpr absl::Duration kTryAgain = absl::Seconds(1);  // what has failed

// ioprio_set(2): the disk is ours when nobody else wants it. Only a scheduler with priorities (BFQ)
// honours it; where there is none, the rate must do.
void BecomeIdleForTheDisk() {
  constexpr int kWhoProcess = 1, kClassIdle = 3, kClassShift = 13;
  ::syscall(SYS_ioprio_set, kWhoProcess, 0, kClassIdle << kClassShift);
}

}  // namespace

Trash::Trash(UniqueFd directory, const Log* log, Pace pace)
    : directory_(std::move(directory)),
      log_(log),
      pace_(pace),
      bucket_(pace.inodes_per_second, pace.burst, SteadyNow()) {}

absl::StatusOr<std::unique_ptr<Trash>> Trash::Open(UniqueFd directory, const Log* log) {
  return Open(std::move(directory), log, Pace());
}

absl::StatusOr<std::unique_ptr<Trash>> Trash::Open(UniqueFd directory, const Log* log, Pace pace) {
  ASSIGN_OR_RETURN(const std::vector<std::string> leftovers, ListDir(directory.get(), "."));
  std::unique_ptr<Trash> trash(new Trash(std::move(directory), log, pace));
  Trash* const raw = trash.get();
  for (const std::string& name : leftovers)
    raw->Push(&raw->deletions_, [raw, name] { raw->Delete(name, Attempt::kFirst); });
  raw->worker_ = std::thread([raw] { raw->Loop(&raw->work_); });
  raw->deleter_ = std::thread([raw] {
    BecomeIdleForTheDisk();
    raw->Loop(&raw->deletions_);
  });
  return trash;
}

Trash::~Trash() {
  {
    absl::MutexLock lock(&mu_);
    stop_ = true;
  }
  for (std::thread* thread : {&worker_, &deleter_}) {
    if (thread->joinable()) thread->join();
  }
}

absl::Status Trash::Throw(int from, const std::string& name) {
  const std::string target = NewId();
  if (FAULT("remove_image.trash") ||
      ::renameat(from, name.c_str(), directory_.get(), target.c_str()) != 0) {
    return errno == ENOENT ? absl::OkStatus() : ErrnoStatus("rename to trash", name);
  }
  Push(&deletions_, [this, target] { Delete(target, Attempt::kFirst); });
  return absl::OkStatus();
}

void Trash::Run(std::function<absl::Status()> work) {
  Push(&work_, [this, work = std::move(work)] {
    while (!work().ok() && WaitToTryAgain()) {
    }
  });
}

bool Trash::WaitToTryAgain() {
  absl::MutexLock lock(&mu_);
  return !AwaitFor(mu_, absl::Condition(&stop_), kTryAgain);
}

Trash::Pause::Pause(Trash& trash) : trash_(trash) {
  absl::MutexLock lock(&trash_.mu_);
  ++trash_.pauses_;
}

Trash::Pause::~Pause() {
  absl::MutexLock lock(&trash_.mu_);
  --trash_.pauses_;
}

void Trash::Flush() {
  for (Queue* const queue : {&work_, &deletions_}) {
    absl::Notification done;
    Push(queue, [&done] { done.Notify(); });
    done.WaitForNotification();
  }
}

void Trash::Push(Queue* queue, std::function<void()> work) {
  absl::MutexLock lock(&mu_);
  queue->push_back(std::move(work));
}

void Trash::Delete(const std::string& name, Attempt attempt) {
  const absl::Status removed =
      FAULT("remove_image.delete")
          ? ErrnoStatus("failpoint", "remove_image.delete")
          : RemoveTreeAt(directory_.get(), name, [this] { return MayDelete(); });
  if (removed.ok() || absl::IsCancelled(removed)) return;
  if (attempt == Attempt::kFirst && log_ != nullptr)
    log_->Warning("cannot delete from trash yet", {{"error", std::string(removed.message())}});
  // Behind the others, which may be what it lacks space for.
  if (WaitToTryAgain()) Push(&deletions_, [this, name] { Delete(name, Attempt::kAgain); });
}

// Asked before each inode; false ends the deletion.
bool Trash::MayDelete() {
  if (allowed_-- > 0) return true;
  allowed_ = kBatch - 1;
  absl::Time at = SteadyNow();
  at += bucket_.Take(kBatch, at);
  absl::MutexLock lock(&mu_);
  while (!stop_) {
    const absl::Duration wait = at - SteadyNow();
    if (pauses_ == 0 && wait <= absl::ZeroDuration()) break;
    if (IsSpaceShort()) break;
    // The end of a pause, of the waiting time, or time to look at the disk again.
    const bool paused = pauses_ > 0;
    const auto changed = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
      return stop_ || (paused && pauses_ == 0);
    };
    AwaitFor(mu_, absl::Condition(&changed), paused ? kLookAgain : std::min(wait, kLookAgain));
  }
  return !stop_;
}

bool Trash::IsSpaceShort() const {
  struct statvfs disk;
  if (::fstatvfs(directory_.get(), &disk) != 0) return false;
  const auto is_short = [this](uint64_t left, uint64_t all) {  // no sizes: none that could run out
    return all > 0 && static_cast<double>(left) < pace_.least_free * static_cast<double>(all);
  };
  return is_short(disk.f_bavail, disk.f_blocks) || is_short(disk.f_favail, disk.f_files);
}

void Trash::Loop(Queue* queue) {
  while (true) {
    std::function<void()> work;
    {
      absl::MutexLock lock(&mu_);
      const auto ready = [this, queue]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
        return stop_ || !queue->empty();
      };
      mu_.Await(absl::Condition(&ready));
      if (stop_) return;
      work = std::move(queue->front());
      queue->pop_front();
    }
    work();
  }
}

}  // namespace berth
