#include "src/sandbox/network/link_reaper.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/base/failpoint.h"
#include "src/base/status_macros.h"
#include "src/base/steady_time.h"
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
                        ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return queue_.empty() && busy_ == 0; };
  if (AwaitFor(mu_, absl::Condition(&idle), timeout)) return absl::OkStatus();
  return absl::DeadlineExceededError(absl::StrCat("remove pod links of ", options_.bridge,
                                                  ": not done within ",
                                                  absl::FormatDuration(timeout)));
}

LinkReaper::Counts LinkReaper::counts() const {
  absl::MutexLock lock(&mu_);
  return {.pending = static_cast<int64_t>(queue_.size() + busy_), .done = done_};
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
    busy_ = jobs.size();
    mu_.Unlock();
    std::vector<Job> left = Reap(std::move(jobs));
    mu_.Lock();
    done_ += static_cast<int64_t>(busy_ - left.size());
    busy_ = 0;
    if (left.empty()) continue;
    std::move(left.begin(), left.end(), std::back_inserter(queue_));
    AwaitFor(mu_, absl::Condition(&stopping_), kRetryPause);
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

bool LinkReaper::IsOurs(const std::string& name, int bridge) {
  const auto link = GetLink(route_, name);
  if (absl::IsNotFound(link.status())) return false;
  // A port loses its bridge when somebody deletes that; it is still ours by its name.
  return !link.ok() || link->master == 0 || link->master == bridge;
}

void LinkReaper::Sort(std::vector<Job> jobs, std::vector<Job>& present, std::vector<Job>& gone) {
  const auto bridge = GetLink(route_, options_.bridge);
  const int index = bridge.ok() ? bridge->index : 0;
  for (Job& job : jobs) {
    std::erase_if(job.links, [&](const std::string& link) { return !IsOurs(link, index); });
    (job.links.empty() ? gone : present).push_back(std::move(job));
  }
}

absl::Status LinkReaper::Delete(const std::vector<Job>& jobs) {
  RETURN_IF_FAULT("network.reap");
  NetlinkBatch mark;
  for (const Job& job : jobs) {
    for (const std::string& link : job.links) SetLink(mark, link, {.group = kReapedGroup});
  }
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
