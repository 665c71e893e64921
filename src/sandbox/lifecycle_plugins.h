// Who takes part in the lives of pods and containers without the kubelet's knowing: NRI plugins
// (src/nri). The node tells them what happens; some of it they may refuse or change. All calls
// block for as long as plugins take, which is bounded. Thread-safe.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "src/kernel/cgroup_limits.h"
#include "src/runtime/container_plan.h"
#include "src/sandbox/container_adjustment.h"
#include "src/sandbox/node_state.h"

namespace berth {

class LifecyclePlugins {
 public:
  virtual ~LifecyclePlugins() = default;

  // Held from before the plugins are told of a pod or container that comes or goes until it is, or
  // is no more, among the node's: no plugin begins to take part meanwhile, so that each learns of
  // it from the list of what there is or from an event, and of none twice or never. Behind the
  // locks of pods and containers.
  struct Unlock {
    void operator()(absl::Mutex* mu) const ABSL_NO_THREAD_SAFETY_ANALYSIS { mu->ReaderUnlock(); }
  };
  using Admission = std::unique_ptr<absl::Mutex, Unlock>;
  virtual Admission HoldAdmission() = 0;

  // An error is a plugin's, or one about what it wants: the pod or container is not to be.
  virtual absl::Status RunPod(const PodRecord& pod) = 0;
  struct Changes {
    std::string stored;  // `adjustment`, to be read again (RequestParsers::adjustment); "" for none
    ContainerAdjustment adjustment;
    std::optional<CgroupLimits> limits;  // what is set of them is changed
  };
  virtual absl::StatusOr<Changes> CreateContainer(const PodRecord& pod,
                                                  const ContainerRecord& container,
                                                  const ContainerSpec& spec) = 0;
  virtual absl::Status StartContainer(const PodRecord& pod, const ContainerRecord& container) = 0;
  // What is to be changed instead of `changes`.
  virtual absl::StatusOr<CgroupLimits> UpdateContainer(const PodRecord& pod,
                                                       const ContainerRecord& container,
                                                       const CgroupLimits& changes) = 0;
  virtual absl::Status UpdatePod(const PodRecord& pod, const CgroupLimits& overhead,
                                 const CgroupLimits& resources) = 0;

  // What has happened, whatever a plugin says of it.
  virtual void PodUpdated(const PodRecord& pod) = 0;
  virtual void ContainerCreated(const PodRecord& pod, const ContainerRecord& container) = 0;
  virtual void ContainerStarted(const PodRecord& pod, const ContainerRecord& container) = 0;
  virtual void ContainerUpdated(const PodRecord& pod, const ContainerRecord& container) = 0;
  // It has ended by itself: ContainerStopped follows, on another thread.
  virtual void ContainerExited(const PodPtr& pod, const ContainerPtr& container) = 0;
  // Of these two a repetition tells nobody anything, and returns once the first has.
  virtual void ContainerStopped(const PodRecord& pod, const ContainerRecord& container) = 0;
  virtual void PodStopped(const PodRecord& pod) = 0;
  virtual void ContainerRemoved(const PodRecord& pod, const ContainerRecord& container) = 0;
  virtual void PodRemoved(const PodRecord& pod) = 0;
};

}  // namespace berth
