#include "src/sandbox/node_state.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "src/base/steady_time.h"

namespace berth {
namespace {

template <typename Record>
absl::StatusOr<Record> FindByPrefix(const SnapshotMap<Record>& map, absl::string_view kind,
                                    absl::string_view id) {
  const auto begin = map.lower_bound(id);
  if (id.empty() || begin == map.end() || !absl::StartsWith(begin->first, id)) {
    return absl::NotFoundError(absl::StrCat(kind, " \"", id, "\" does not exist"));
  }
  if (begin->first == id) return begin->second;
  std::vector<std::string> candidates;
  for (auto each = begin;
       each != map.end() && absl::StartsWith(each->first, id) && candidates.size() < 4; ++each) {
    candidates.push_back(each->first);
  }
  if (candidates.size() > 1) {
    return absl::InvalidArgumentError(
        absl::StrCat(kind, " id \"", id, "\" is ambiguous: ", absl::StrJoin(candidates, ", ")));
  }
  return begin->second;
}

void ChangeIds(const std::string& pod_id, NodeSnapshot& snapshot,
               absl::FunctionRef<void(std::vector<std::string>&)> change) {
  const auto before = snapshot.container_ids.find(pod_id);
  std::vector<std::string> ids;
  if (before != snapshot.container_ids.end()) ids = *before->second;
  change(ids);
  if (ids.empty()) return snapshot.container_ids.Erase(pod_id);
  snapshot.container_ids.Put(pod_id,
                             std::make_shared<const std::vector<std::string>>(std::move(ids)));
}

}  // namespace

absl::StatusOr<PodPtr> NodeSnapshot::FindPod(absl::string_view id) const {
  return FindByPrefix(pods, "pod sandbox", id);
}

PodPtr NodeSnapshot::PodNamed(absl::string_view name) const {
  const auto id = pods_by_name.find(name);
  const auto pod = id == pods_by_name.end() ? pods.end() : pods.find(id->second);
  return pod == pods.end() ? nullptr : pod->second;
}

std::vector<ContainerPtr> NodeSnapshot::ContainersOf(absl::string_view pod_id) const {
  std::vector<ContainerPtr> found;
  const auto ids = container_ids.find(pod_id);
  if (ids == container_ids.end()) return found;
  for (const std::string& id : *ids->second) {
    if (const auto container = containers.find(id); container != containers.end())
      found.push_back(container->second);
  }
  return found;
}

std::shared_ptr<const NodeSnapshot> NodeState::Snapshot() const {
  absl::MutexLock lock(&mu_);
  return snapshot_;
}

void NodeState::Replace(absl::FunctionRef<void(NodeSnapshot&)> change) {
  auto next = std::make_shared<NodeSnapshot>(*snapshot_);
  change(*next);
  snapshot_ = std::move(next);
}

void NodeState::Publish(EventType type, const PodPtr& pod) {
  if (pod == nullptr || !events_.Tells(type)) return;
  events_.Publish({.type = type,
                   .of_pod = true,
                   .id = pod->id,
                   .pod = pod,
                   .containers = snapshot_->ContainersOf(pod->id)});
}

void NodeState::Publish(EventType type, const ContainerPtr& container) {
  if (container == nullptr || !events_.Tells(type)) return;
  const auto pod = snapshot_->pods.find(container->pod_id);
  if (pod == snapshot_->pods.end()) return;
  NodeEvent event{.type = type,
                  .id = container->id,
                  .pod = pod->second,
                  .containers = snapshot_->ContainersOf(container->pod_id)};
  if (type == EventType::kDeleted) event.containers.push_back(container);
  events_.Publish(std::move(event));
}

void NodeState::PublishStateChange(ContainerState before, const ContainerPtr& container) {
  const ContainerStatus& after = container->status;
  if (before == after.state) return;
  // The exit of a short process can be known before its start is.
  const bool ran = after.state == ContainerState::kRunning || after.reason != kStartErrorReason;
  if (before == ContainerState::kCreated && ran) Publish(EventType::kStarted, container);
  if (after.state == ContainerState::kExited) Publish(EventType::kStopped, container);
}

void NodeState::PutPod(PodPtr pod) {
  absl::MutexLock lock(&mu_);
  Replace([&](NodeSnapshot& snapshot) {
    snapshot.pods.Put(pod->id, pod);
    snapshot.pods_by_name.Put(UniqueName(pod->config), pod->id);
  });
  Publish(EventType::kCreated, pod);
  if (pod->status.state == PodState::kReady) Publish(EventType::kStarted, pod);
}

void NodeState::PutContainer(ContainerPtr container) {
  absl::MutexLock lock(&mu_);
  Replace([&](NodeSnapshot& snapshot) {
    snapshot.containers.Put(container->id, container);
    ChangeIds(container->pod_id, snapshot, [&](std::vector<std::string>& ids) {
      const auto place = std::lower_bound(ids.begin(), ids.end(), container->id);
      if (place == ids.end() || *place != container->id) ids.insert(place, container->id);
    });
  });
  Publish(EventType::kCreated, container);
}

void NodeState::RemovePod(absl::string_view id) {
  absl::MutexLock lock(&mu_);
  const auto found = snapshot_->pods.find(id);
  if (found == snapshot_->pods.end()) return;
  const PodPtr pod = found->second;
  Replace([&](NodeSnapshot& snapshot) {
    const std::string name = UniqueName(pod->config);
    if (snapshot.PodNamed(name) == pod) snapshot.pods_by_name.Erase(name);
    snapshot.pods.Erase(pod->id);
  });
  Publish(EventType::kDeleted, pod);
}

void NodeState::RemoveContainer(absl::string_view id) {
  absl::MutexLock lock(&mu_);
  const auto found = snapshot_->containers.find(id);
  if (found == snapshot_->containers.end()) return;
  const ContainerPtr container = found->second;
  Replace([&](NodeSnapshot& snapshot) {
    snapshot.containers.Erase(container->id);
    ChangeIds(container->pod_id, snapshot,
              [&](std::vector<std::string>& ids) { std::erase(ids, container->id); });
  });
  Publish(EventType::kDeleted, container);
}

PodPtr NodeState::UpdatePod(absl::string_view id, absl::FunctionRef<void(PodStatus&)> change) {
  absl::MutexLock lock(&mu_);
  const auto found = snapshot_->pods.find(id);
  if (found == snapshot_->pods.end()) return nullptr;
  const PodState before = found->second->status.state;
  auto next = std::make_shared<PodRecord>(*found->second);
  change(next->status);
  const PodPtr result = std::move(next);
  Replace([&](NodeSnapshot& snapshot) { snapshot.pods.Put(result->id, result); });
  if (before == PodState::kReady && result->status.state == PodState::kNotReady)
    Publish(EventType::kStopped, result);
  return result;
}

ContainerPtr NodeState::UpdateContainer(absl::string_view id,
                                        absl::FunctionRef<void(ContainerRecord&)> change) {
  absl::MutexLock lock(&mu_);
  const auto found = snapshot_->containers.find(id);
  if (found == snapshot_->containers.end()) return nullptr;
  const ContainerState before = found->second->status.state;
  auto next = std::make_shared<ContainerRecord>(*found->second);
  change(*next);
  const ContainerPtr result = std::move(next);
  Replace([&](NodeSnapshot& snapshot) { snapshot.containers.Put(result->id, result); });
  PublishStateChange(before, result);
  return result;
}

absl::StatusOr<ContainerPtr> NodeState::FindContainer(absl::string_view id) const {
  return FindByPrefix(Snapshot()->containers, "container", id);
}

bool NodeState::AwaitContainer(absl::string_view id, absl::Time deadline,
                               absl::FunctionRef<bool(const ContainerRecord&)> done) const {
  const auto finished = [&]() ABSL_NO_THREAD_SAFETY_ANALYSIS {
    const auto found = snapshot_->containers.find(id);
    return found == snapshot_->containers.end() || done(*found->second);
  };
  absl::MutexLock lock(&mu_);
  return AwaitUntil(mu_, absl::Condition(&finished), deadline);
}

}  // namespace berth
