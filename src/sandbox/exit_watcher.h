// One thread that listens to the watch connections of all monitors and tells of what ends.
// Thread-safe.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "src/base/unique_fd.h"
#include "src/runtime/monitor_client.h"

namespace berth {

class ExitWatcher {
 public:
  struct Callbacks {
    // On the watcher's thread.
    std::function<void(const std::string& pod_id, const WatchEvent& event)> container_event;
    // Its connection has ended, by the monitor's death or because it hung up; it is removed.
    std::function<void(const std::string& pod_id)> watch_lost;
  };
  static absl::StatusOr<std::unique_ptr<ExitWatcher>> Start(Callbacks callbacks);
  ~ExitWatcher();

  // Takes the connection that MonitorClient::Watch made, in the place of an earlier one of the pod.
  absl::Status Add(const std::string& pod_id, UniqueFd connection);
  // Returns the connection; invalid if there is none. No callback for this pod begins after the
  // return (unless called from one).
  UniqueFd Remove(absl::string_view pod_id);

 private:
  using Connections = std::map<uint64_t, std::pair<std::string, UniqueFd>>;

  explicit ExitWatcher(Callbacks callbacks) : callbacks_(std::move(callbacks)) {}
  UniqueFd Forget(Connections::iterator connection) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Run();

  const Callbacks callbacks_;
  UniqueFd epoll_, stop_;
  absl::Mutex mu_;
  Connections connections_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, uint64_t, std::less<>> keys_ ABSL_GUARDED_BY(mu_);
  uint64_t next_key_ ABSL_GUARDED_BY(mu_) = 1;
  std::thread thread_;
};

}  // namespace berth
