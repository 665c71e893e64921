// Deletes the host ends of pod links on a thread of its own: the kernel needs 20 to 40 ms for one,
// and about as much for many at once. Used by BridgeNetwork. Thread-safe.
//
// clang-format off
//   Add --> queue --> marked (kReapedGroup) --> group deleted --> seen to be gone --> Gone called
//             ^                                                            |
//             +---- kRetryPause ---- still there, or Gone failed ----------+
// clang-format on
#pragma once

#include <deque>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "src/base/log.h"
#include "src/kernel/netlink.h"

namespace berth {

class LinkReaper {
 public:
  struct Job {
    std::vector<std::string> links;  // names; those that do not exist are no failure
    std::string pod_id;              // "" for links that belong to no known pod
  };
  // Called on the reaper's thread with jobs whose links do not exist (any more); they are tried
  // again if it fails.
  using Gone = std::function<absl::Status(const std::vector<Job>&)>;

  struct Options {
    std::string bridge;  // links that are ports of another bridge are never touched
    const Log* log = nullptr;
  };
  LinkReaper(Options options, NetlinkSocket route, Gone gone);
  LinkReaper(const LinkReaper&) = delete;
  LinkReaper& operator=(const LinkReaper&) = delete;
  // Ends after the batch at hand; what is still queued is left to the next start.
  ~LinkReaper();

  void Add(Job job);

  // Until nothing is queued or under way. DeadlineExceeded.
  absl::Status WaitUntilIdle(absl::Duration timeout);

  struct Counts {
    int64_t pending = 0;  // jobs that are queued or under way
    int64_t done = 0;
  };
  Counts counts() const;

 private:
  void Loop();
  // Returns the jobs that are not done.
  std::vector<Job> Reap(std::vector<Job> jobs);
  // Sorts `jobs` into those with a link that is there to be deleted, and those without one; the
  // former keep only such links.
  void Sort(std::vector<Job> jobs, std::vector<Job>& present, std::vector<Job>& gone);
  bool IsOurs(const std::string& link, int bridge);
  absl::Status Delete(const std::vector<Job>& jobs);
  void Warn(absl::string_view message, const absl::Status& cause) const;

  const Options options_;
  NetlinkSocket route_;  // the thread's alone
  const Gone gone_;
  mutable absl::Mutex mu_;
  std::deque<Job> queue_ ABSL_GUARDED_BY(mu_);
  size_t busy_ ABSL_GUARDED_BY(mu_) = 0;  // jobs of the batch at hand
  int64_t done_ ABSL_GUARDED_BY(mu_) = 0;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  std::thread thread_;
};

}  // namespace berth
