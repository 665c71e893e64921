// The NRI plugins of a node: they connect to a socket, or are started from a directory, are told
// what there is, and take part from then on, called one after the other in the order of their
// indices. https://github.com/containerd/nri
//
// A plugin that does not answer in time is cut off, and the operation goes on as if it had not
// been there; with Options::required a container is refused while such a plugin is missing.
#pragma once

#include <deque>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
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
#include "src/base/unique_fd.h"
#include "src/kernel/process.h"
#include "src/nri/adjustment.h"
#include "src/nri/options.h"
#include "src/nri/plugin.h"
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

  explicit Plugins(Options options);
  ~Plugins() override;

  // From here on plugins take part. AlreadyExists: another runtime serves the socket.
  absl::Status Serve(Access access);
  // Tells them that it ends, and waits for what is under way. Nothing of Access is called after.
  void Stop();

  Admission HoldAdmission() override ABSL_NO_THREAD_SAFETY_ANALYSIS {
    admission_.ReaderLock();
    return Admission(&admission_);
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
  using PluginPtr = std::shared_ptr<Plugin>;
  // From its connection to its end.
  struct Member {
    PluginPtr plugin;
    std::thread handshake;
    bool takes_part = false, ended = false;
  };

  void Accept();
  absl::Status Add(UniqueFd socket, std::optional<PluginName> name);
  void ShakeHands(const PluginPtr& plugin);
  absl::Status Admit(const PluginPtr& plugin);
  api::SynchronizeRequest WhatThereIs() const;
  absl::StatusOr<std::string> ConfigOf(const std::string& name) const;
  void StartInstalled();
  absl::Status StartProgram(const std::string& file);
  // Whether it took part until now.
  bool MarkEnded(const Plugin& plugin);
  // Drops those that have ended, and their programs.
  void Reap();
  void Work();
  void Later(std::function<void()> work);

  // Those that take part and want to be told of the event, in their order.
  std::vector<PluginPtr> Wanting(api::Event event) const;
  // Calls all that want the event: `reply` is given each answer. The first that refuses ends it.
  template <typename Reply, typename Request>
  absl::Status Ask(api::Event event, const char* method, const Request& request,
                   absl::FunctionRef<absl::Status(const Plugin&, const Reply&)> take);
  // The same, where nobody can refuse.
  template <typename Request>
  void Tell(api::Event event, const char* method, const Request& request);
  void TellContainer(api::Event event, const char* method, const PodRecord& pod,
                     const ContainerRecord& container);
  // Once; `if_due`: unless it has been told, or the container removed, since its exit.
  void TellEnd(const PodRecord& pod, const ContainerRecord& container, bool if_due);
  absl::Status CheckRequired() const;
  absl::Status Validate(const api::PodSandbox& pod, const api::Container& container,
                        const AdjustmentMerge& merge);
  template <typename Updates>
  api::UpdateContainersResponse Update(const std::string& plugin, const Updates& updates);
  template <typename Evictions>
  void Evict(const std::string& plugin, const Evictions& evictions);

  const Options options_;
  const Log& log_;
  Access access_;
  absl::Mutex admission_;
  KeyedLocks ends_;  // by id: of what is told once

  mutable absl::Mutex mu_;
  bool serving_ ABSL_GUARDED_BY(mu_) = false;
  std::list<Member> members_ ABSL_GUARDED_BY(mu_);
  std::set<std::string> due_ ABSL_GUARDED_BY(mu_);      // ids of whose end they are to be told
  std::set<std::string> stopped_ ABSL_GUARDED_BY(mu_);  // ids of whose end plugins have been told
  // What plugins want of others once a container is made, by its id: not before, as who makes one
  // holds the admission, and who changes one its lock.
  std::map<std::string, std::vector<std::pair<std::string, api::ContainerUpdate>>> pending_
      ABSL_GUARDED_BY(mu_);
  std::deque<std::function<void()>> work_ ABSL_GUARDED_BY(mu_);
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  std::vector<SpawnedProcess> programs_;  // of the thread that accepts, while there is one
  UniqueFd listener_, wake_;
  std::thread acceptor_, worker_;
};

}  // namespace berth::nri
