// Single flight: callers that want the same pull at the same time share one, each with its own
// progress and cancellation. Thread-safe.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "src/image/image_details.h"
#include "src/image/image_store.h"

namespace berth {

class Flights {
 public:
  using Progress = std::function<void(const PullProgress&)>;
  using Work = absl::FunctionRef<absl::StatusOr<std::string>(const Progress&)>;

  // Runs `work` on this thread, or waits for the caller that runs the same `key` and takes its
  // result. If that one is cancelled while this one is not, this one runs its own.
  // `reference` is what Running tells of it.
  absl::StatusOr<std::string> Join(const std::string& reference, const std::string& key,
                                   const PullRequest& request, Work work);

  std::vector<RunningPull> Running() const;

 private:
  struct Flight {
    explicit Flight(std::string name) : reference(std::move(name)) {}
    const std::string reference;
    const absl::Time started_at = absl::Now();
    absl::Mutex mu;
    bool done ABSL_GUARDED_BY(mu) = false;
    absl::StatusOr<std::string> result ABSL_GUARDED_BY(mu) = absl::UnknownError("");
    int64_t version ABSL_GUARDED_BY(mu) = 0;
    // The latest of each layer, with the version that it came with.
    std::map<std::string, std::pair<int64_t, PullProgress>> latest ABSL_GUARDED_BY(mu);
  };

  absl::StatusOr<std::string> Lead(const std::string& key, const std::shared_ptr<Flight>& flight,
                                   const PullRequest& request, Work work);
  static absl::StatusOr<std::string> Follow(Flight& flight, const PullRequest& request);

  mutable absl::Mutex mu_;
  std::map<std::string, std::shared_ptr<Flight>> flights_ ABSL_GUARDED_BY(mu_);
};

}  // namespace berth
