// What NRI plugins (roster.h) are told and asked, one after the other in the order of their
// indices, and what is done of what they want. https://github.com/containerd/nri
//
// A plugin that does not answer in time is cut off, and the operation goes on as if it had not
// been there; with Options::required a container is refused while such a plugin is missing.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "nri/v1alpha1/nri.pb.h"
#include "src/base/keyed_locks.h"
#include "src/base/log.h"
#include "src/nri/adjustment.h"
#include "src/nri/options.h"
#include "src/nri/roster.h"
#include "src/sandbox/lifecycle_plugins.h"
#include "src/sandbox/node_state.h"

namespace berth::nri {

class Plugins : public LifecyclePlugins {
 public:
  // How it is done what plugins want.
  struct Access {
    std::function<std::shared_ptr<const NodeSnapshot>()> snapshot;
    // The spec of a container that there is.
    std::function<absl::StatusOr<ContainerSpec>(const ContainerRecord&, const PodRecord&)> spec;
    // Of a container, without telling plugins.
    std::function<absl::Status(const std::string& id, const CgroupLimits& changes)> update;
    std::function<absl::Status(const std::string& id)> stop;
  };

  explicit Plugins(const Options& options);
  ~Plugins() override;

  // From here on plugins take part. AlreadyExists: another runtime serves the socket.
  absl::Status Serve(Access access);
  // Tells them that it ends, and waits for what is under way. Nothing of Access is called after.
  void Stop();

  Admission HoldAdmission() override ABSL_NO_THREAD_SAFETY_ANALYSIS {
    roster_.admission().ReaderLock();
    return Admission(&roster_.admission());
  }
  absl::Status RunPod(const PodRecord& pod) override;
  absl::StatusOr<Changes> CreateContainer(const PodRecord& pod, const ContainerRecord& container,
                                          const ContainerSpec& spec) override;
  absl::Status StartContainer(const PodRecord& pod, const ContainerRecord& container) override;
  absl::StatusOr<CgroupLimits> UpdateContainer(const PodRecord& pod,
                                               const ContainerRecord& container,
                                               const CgroupLimits& changes) override;
  absl::Status UpdatePod(const PodRecord& pod, const CgroupLimits& overhead,
                         const CgroupLimits& resources) override;
  void PodUpdated(const PodRecord& pod) override;
  void ContainerCreated(const PodRecord& pod, const ContainerRecord& container) override;
  void ContainerStarted(const PodRecord& pod, const ContainerRecord& container) override;
  void ContainerUpdated(const PodRecord& pod, const ContainerRecord& container) override;
  void ContainerExited(const PodPtr& pod, const ContainerPtr& container) override;
  void ContainerStopped(const PodRecord& pod, const ContainerRecord& container) override;
  void PodStopped(const PodRecord& pod) override;
  void ContainerRemoved(const PodRecord& pod, const ContainerRecord& container) override;
  void PodRemoved(const PodRecord& pod) override;

 private:
  api::SynchronizeRequest WhatThereIs() const;
  void Work();
  void Later(std::function<void()> work);

  // Calls all that want the event with the request that `make` returns: `take` is given each
  // answer. The first that refuses ends it. Nobody wants it: nothing is made.
  template <typename Reply, typename Make>
  absl::Status Ask(api::Event event, const char* method, const Make& make,
                   absl::FunctionRef<absl::Status(const Plugin&, const Reply&)> take);
  // Calls all that want the event, of a pod, or of a container and its pod; nobody can refuse it.
  template <typename Reply, typename... Records>
  void Tell(api::Event event, const char* method,
            absl::FunctionRef<void(const Plugin&, const Reply&)> take, const Records&... records);
  // The same, where nobody has anything to say.
  template <typename... Records>
  void Tell(api::Event event, const char* method, const Records&... records);
  // Once; `if_due`: unless it has been told, or the container removed, since its exit.
  void TellEnd(const PodRecord& pod, const ContainerRecord& container, bool if_due);
  absl::Status Validate(const api::PodSandbox& pod, const api::Container& container,
                        const AdjustmentMerge& merge);
  template <typename Updates>
  api::UpdateContainersResponse Update(const std::string& plugin, const Updates& updates);
  template <typename Evictions>
  void Evict(const std::string& plugin, const Evictions& evictions);

  const Log& log_;
  Access access_;
  KeyedLocks ends_;  // by id: of what is told once

  mutable absl::Mutex mu_;
  bool serving_ ABSL_GUARDED_BY(mu_) = false;
  std::set<std::string> due_ ABSL_GUARDED_BY(mu_);      // ids of whose end they are to be told
  std::set<std::string> stopped_ ABSL_GUARDED_BY(mu_);  // ids of whose end plugins have been told
  // What plugins want of others once a container is made, by its id: not before, as who makes one
  // holds the admission, and who changes one its lock.
  std::map<std::string, std::vector<std::pair<std::string, api::ContainerUpdate>>> pending_
      ABSL_GUARDED_BY(mu_);
  std::deque<std::function<void()>> work_ ABSL_GUARDED_BY(mu_);
  std::thread worker_;
  Roster roster_;  // last: its threads use the rest
};

}  // namespace berth::nri
