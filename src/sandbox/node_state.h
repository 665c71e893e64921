// All pods and containers of the node, in memory. Readers get an immutable snapshot and never wait
// for a writer's work; writers replace single records. What that changes is published: when an
// event is told, the snapshot has it. Thread-safe. (docs/adr/0004: snapshots are
// shared_ptr.)
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "src/sandbox/event_hub.h"
#include "src/sandbox/records.h"
#include "src/sandbox/snapshot_map.h"

namespace berth {

using PodPtr = std::shared_ptr<const PodRecord>;
using ContainerPtr = std::shared_ptr<const ContainerRecord>;

struct NodeSnapshot {
  SnapshotMap<PodPtr> pods;
  SnapshotMap<ContainerPtr> containers;
  // What is asked for one pod must not cost a walk over all of the node.
  SnapshotMap<std::string> pods_by_name;                                       // UniqueName -> id
  SnapshotMap<std::shared_ptr<const std::vector<std::string>>> container_ids;  // of each pod

  // By full id or unambiguous prefix. NotFound; InvalidArgument names the candidates of an
  // ambiguous one.
  absl::StatusOr<PodPtr> FindPod(absl::string_view id) const;
  // Null: none has this UniqueName.
  PodPtr PodNamed(absl::string_view name) const;
  std::vector<ContainerPtr> ContainersOf(absl::string_view pod_id) const;
};

class NodeState {
 public:
  explicit NodeState(EventHub& events)
      : events_(events), snapshot_(std::make_shared<const NodeSnapshot>()) {}

  std::shared_ptr<const NodeSnapshot> Snapshot() const;

  void PutPod(PodPtr pod);
  void PutContainer(ContainerPtr container);
  void RemovePod(absl::string_view id);
  void RemoveContainer(absl::string_view id);

  // Replaces the record by what `change` makes of a copy of it, at once for all readers; returns
  // the new record. Null if it is gone.
  PodPtr UpdatePod(absl::string_view id, absl::FunctionRef<void(PodStatus&)> change);
  ContainerPtr UpdateContainer(absl::string_view id,
                               absl::FunctionRef<void(ContainerRecord&)> change);

  // As NodeSnapshot::FindPod.
  absl::StatusOr<PodPtr> FindPod(absl::string_view id) const { return Snapshot()->FindPod(id); }
  absl::StatusOr<ContainerPtr> FindContainer(absl::string_view id) const;

  // Waits until the container is gone or `done`; false at the deadline.
  bool AwaitContainer(absl::string_view id, absl::Time deadline,
                      absl::FunctionRef<bool(const ContainerRecord&)> done) const;

 private:
  void Replace(absl::FunctionRef<void(NodeSnapshot&)> change) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Publish(EventType type, const PodPtr& pod) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Publish(EventType type, const ContainerPtr& container) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void PublishStateChange(ContainerState before, const ContainerPtr& container)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  EventHub& events_;
  mutable absl::Mutex mu_;
  std::shared_ptr<const NodeSnapshot> snapshot_ ABSL_GUARDED_BY(mu_);
};

}  // namespace berth
