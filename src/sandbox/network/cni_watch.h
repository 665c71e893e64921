// Which CNI network the node has: follows the directory of configurations and those of the plugins
// as they change, and asks the plugins for their status, each on a thread of its own: one that
// hangs does not hold up the configuration that replaces it. Used by CniNetwork. Thread-safe.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "nlohmann/json.hpp"
#include "src/base/log.h"
#include "src/base/unique_fd.h"
#include "src/sandbox/network/cni_config_dir.h"
#include "src/sandbox/network/cni_plugins.h"
#include "src/sandbox/network/network.h"

namespace berth {

class CniWatch {
 public:
  struct Options {
    std::string conf_dir;  // made if it is not there; "": there is never a network
    std::vector<std::string> bin_dirs;
    std::string default_network;  // name; "" for the first in the directory
    const Log* log = nullptr;     // may be null
  };
  // Called for a new network, and again at the time that it returns. Another one takes its place
  // once it is `outdated`.
  using Tend = std::function<absl::Time(const CniNetworkList& network,
                                        const std::function<bool()>& outdated)>;

  // Has read the directory when it returns. `plugins` must outlive it.
  static absl::StatusOr<std::unique_ptr<CniWatch>> Start(Options options, CniPlugins& plugins,
                                                         Tend tend);
  // Waits for what runs: CniPlugins::Stop first.
  ~CniWatch();

  // The network to attach pods to, once its plugins have told their status; waits a little for the
  // first time that they do. Unavailable: there is none that is ready, and why.
  absl::StatusOr<std::shared_ptr<const CniNetworkList>> Usable() const;
  NetworkReadiness Readiness() const;
  // Somebody has put a configuration into the directory, good or bad.
  bool HasConfig() const;
  // File, network and problems, as members.
  void Describe(nlohmann::json* described) const;

 private:
  CniWatch(Options options, CniPlugins& plugins, Tend tend, UniqueFd wake);

  // The threads.
  void FollowFiles();
  void FollowNetwork();
  // Waits for a change of the directories.
  void AwaitChange(const std::optional<DirectoryWatch>& watch) const;
  std::optional<DirectoryWatch> WatchAgain();
  void Reload();
  void Tell(bool changed, bool problems_changed) const ABSL_SHARED_LOCKS_REQUIRED(mu_);
  // When to ask again.
  absl::Time AskStatus(const std::shared_ptr<const CniNetworkList>& network,
                       const std::function<bool()>& outdated);
  std::shared_ptr<const CniNetworkList> Network() const;
  bool stopping() const {
    absl::MutexLock lock(&mu_);
    return stopping_;
  }

  const Options options_;
  CniPlugins& plugins_;
  const Tend tend_;
  const UniqueFd wake_;    // eventfd: FollowFiles shall look
  std::string unwatched_;  // why there is no watch; of FollowFiles

  mutable absl::Mutex mu_;
  CniConfigs configs_ ABSL_GUARDED_BY(mu_);
  std::string status_error_ ABSL_GUARDED_BY(mu_);
  int status_failures_ ABSL_GUARDED_BY(mu_) = 0;
  bool status_known_ ABSL_GUARDED_BY(mu_) = false;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  std::thread files_thread_, network_thread_;
};

}  // namespace berth
