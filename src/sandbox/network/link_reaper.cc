#include "src/sandbox/network/link_reaper.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/kernel/rtnetlink.h"

namespace berth {
namespace {

// The interface group of links that are about to be deleted ("bthr"). Only reapers set it and only
// on links that must go, so that daemons side by side may share it.
constexpr uint32_t kReapedGroup = 0x62746872;
// Bounds how long one deletion holds the kernel's rtnl lock, which every Attach needs too.
constexpr ptrdiff_t kBatch = 64;
constexpr absl::Duration kRetryPause = absl::Seconds(1);

}  // namespace

LinkReaper::LinkReaper(Options options, NetlinkSocket route, Gone gone)
    : options_(std::move(options)),
      route_(std::move(route)),
      gone_(std::move(gone)),
      thread_([this] { Loop(); }) {}

LinkReaper::~LinkReaper() {
  {
    absl::MutexLock lock(&mu_);
    stopping_ = true;
  }
  thread_.join();
}

void LinkReaper::Add(Job job) {
  absl::MutexLock lock(&mu_);
  queue_.push_back(std::move(job));
}

absl::Status LinkReaper::WaitUntilIdle(absl::Duration timeout) {
  absl::MutexLock lock(&mu_);
  const auto idle = [this]()
                        ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return queue_.empty() && !busy_; };
  if (mu_.AwaitWithTimeout(absl::Condition(&idle), timeout)) return absl::OkStatus();
  return absl::DeadlineExceededError(absl::StrCat("remove pod links of ", options_.bridge,
                                                  ": not done within ",
                                                  absl::FormatDuration(timeout)));
}

void LinkReaper::Loop() {
  absl::MutexLock lock(&mu_);
  const auto work = [this]()
                        ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return stopping_ || !queue_.empty(); };
  while (true) {
    mu_.Await(absl::Condition(&work));
    if (stopping_) return;
    const auto end = queue_.begin() + std::min<ptrdiff_t>(std::ssize(queue_), kBatch);
    std::vector<Job> jobs(std::make_move_iterator(queue_.begin()), std::make_move_iterator(end));
    queue_.erase(queue_.begin(), end);
    busy_ = true;
    mu_.Unlock();
    std::vector<Job> left = Reap(std::move(jobs));
    mu_.Lock();
    busy_ = false;
    if (left.empty()) continue;
    std::move(left.begin(), left.end(), std::back_inserter(queue_));
    mu_.AwaitWithTimeout(absl::Condition(&stopping_), kRetryPause);
  }
}

std::vector<LinkReaper::Job> LinkReaper::Reap(std::vector<Job> jobs) {
  std::vector<Job> present, gone, left;
  Sort(std::move(jobs), present, gone);
  if (!present.empty()) {
    if (absl::Status deleted = Delete(present); !deleted.ok())
      Warn("pod links not removed", deleted);
    // What the kernel says now counts, not what it answered: a link may have gone with its
    // namespace meanwhile.
    Sort(std::move(present), left, gone);
  }
  if (gone.empty()) return left;
  if (absl::Status done = gone_(gone); !done.ok()) {
    Warn("addresses not given back", done);
    std::move(gone.begin(), gone.end(), std::back_inserter(left));
  }
  return left;
}

void LinkReaper::Sort(std::vector<Job> jobs, std::vector<Job>& present, std::vector<Job>& gone) {
  const auto bridge = GetLink(route_, options_.bridge);
  for (Job& job : jobs) {
    const auto link = GetLink(route_, job.link);
    // A port loses its bridge when somebody deletes that; it is still ours by its name.
    const bool foreign =
        link.ok() && link->master != 0 && (!bridge.ok() || link->master != bridge->index);
    const bool absent = absl::IsNotFound(link.status()) || foreign;
    (absent ? gone : present).push_back(std::move(job));
  }
}

absl::Status LinkReaper::Delete(const std::vector<Job>& jobs) {
  NetlinkBatch mark;
  for (const Job& job : jobs) SetLink(mark, job.link, {.group = kReapedGroup});
  const absl::Status marked = route_.Run(std::move(mark));
  NetlinkBatch remove;
  DeleteLinkGroup(remove, kReapedGroup);
  const absl::Status removed = route_.Run(std::move(remove));
  for (const absl::Status& status : {marked, removed}) {
    if (!status.ok() && !absl::IsNotFound(status)) return status;
  }
  return absl::OkStatus();
}

void LinkReaper::Warn(absl::string_view message, const absl::Status& cause) const {
  if (options_.log == nullptr) return;
  options_.log->Warning(message,
                        {{"bridge", options_.bridge}, {"error", std::string(cause.message())}});
}

}  // namespace berth
