// UpdateContainerResources and UpdatePodSandboxResources.
#include "absl/strings/str_cat.h"
#include "src/base/failpoint.h"
#include "src/base/status_macros.h"
#include "src/sandbox/container_spec.h"
#include "src/sandbox/node.h"
#include "src/store/pods.h"

namespace berth {

absl::Status Node::UpdateContainer(absl::string_view id, const CgroupLimits& changes) {
  if (options_.plugins == nullptr) return ChangeLimits(id, changes);
  ASSIGN_OR_RETURN(const ContainerPtr container, state_.FindContainer(id));
  ASSIGN_OR_RETURN(const PodPtr pod, state_.FindPod(container->pod_id));
  if (container->status.state == ContainerState::kExited) return absl::OkStatus();
  // Under no lock of the container's: what they want of others takes those.
  ASSIGN_OR_RETURN(const CgroupLimits wanted,
                   options_.plugins->UpdateContainer(*pod, *container, changes));
  RETURN_IF_ERROR(ChangeLimits(container->id, wanted));
  if (const absl::StatusOr<ContainerPtr> now = state_.FindContainer(container->id); now.ok())
    options_.plugins->ContainerUpdated(*pod, **now);
  return absl::OkStatus();
}

absl::Status Node::ChangeLimits(absl::string_view wanted, const CgroupLimits& changes) {
  ASSIGN_OR_RETURN(const ContainerPtr found, state_.FindContainer(wanted));
  // A start reads the limits under the same lock.
  const KeyedLocks::Hold hold = locks_.Lock(absl::StrCat("container/", found->id));
  ASSIGN_OR_RETURN(const ContainerPtr container, state_.FindContainer(found->id));
  // One that has just ended is no error: its exit and the change have crossed.
  if (container->status.state == ContainerState::kExited) return absl::OkStatus();
  if (!facts_.cgroup_v2 && !changes.unified.empty()) {
    return absl::InvalidArgumentError(
        "resources.unified: this node has cgroup v1; these are files of cgroup v2");
  }
  const CgroupLimits& before = LimitsOf(*container);
  const CgroupLimits after = MergeLimits(before, changes);
  // It may have been started, and then there is more to be changed than its record.
  if (container->status.unread && container->status.state == ContainerState::kCreated)
    return UnreadError(*container);
  RETURN_IF_FAULT("update_container.limits");
  if (container->status.state == ContainerState::kRunning) {
    ASSIGN_OR_RETURN(const PodPtr pod, state_.FindPod(container->pod_id));
    RETURN_IF_ERROR(pod->config.runtime_handler.empty()
                        ? cgroups_.UpdateLimits(container->cgroup, before, after)
                        : UpdateWithRuntime(*container, *pod, before, after));
  } else {
    RETURN_IF_ERROR((facts_.cgroup_v2 ? CgroupWritesV2(after) : CgroupWritesV1(after)).status());
  }
  state_.UpdateContainer(container->id,
                         [&](ContainerRecord& record) { record.status.limits = after; });
  // Its repetition finds the limits as they are to be, and stores them.
  if (const absl::Status stored = PersistContainer(container->id); !stored.ok())
    return Annotate(stored, absl::StrCat("update container ", container->id));
  RETURN_IF_FAULT("update_container.answer");
  return absl::OkStatus();
}

absl::Status Node::UpdatePod(absl::string_view id, const CgroupLimits& overhead,
                             const CgroupLimits& resources) {
  ASSIGN_OR_RETURN(const PodPtr pod, state_.FindPod(id));
  if (options_.plugins != nullptr)
    RETURN_IF_ERROR(options_.plugins->UpdatePod(*pod, overhead, resources));
  const PodPtr updated = state_.UpdatePod(pod->id, [&](PodStatus& status) {
    status.overhead = overhead;
    status.resources = resources;
  });
  if (const absl::Status stored = PersistPod(pod->id); !stored.ok())
    return Annotate(stored, absl::StrCat("update pod sandbox ", pod->id));
  if (options_.plugins != nullptr && updated != nullptr) options_.plugins->PodUpdated(*updated);
  return absl::OkStatus();
}

}  // namespace berth
