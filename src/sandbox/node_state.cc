#include "src/sandbox/node_state.h"

#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace berth {
namespace {

template <typename Map>
absl::StatusOr<typename Map::mapped_type> FindByPrefix(const Map& map, absl::string_view kind,
                                                       absl::string_view id) {
  const auto begin = map.lower_bound(std::string(id));
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

}  // namespace

std::shared_ptr<const NodeSnapshot> NodeState::Snapshot() const {
  absl::MutexLock lock(&mu_);
  return snapshot_;
}

void NodeState::Replace(absl::FunctionRef<void(NodeSnapshot&)> change) {
  absl::MutexLock lock(&mu_);
  auto next = std::make_shared<NodeSnapshot>(*snapshot_);
  change(*next);
  snapshot_ = std::move(next);
}

void NodeState::PutPod(PodPtr pod) {
  Replace([&](NodeSnapshot& snapshot) { snapshot.pods[pod->id] = pod; });
}

void NodeState::PutContainer(ContainerPtr container) {
  Replace([&](NodeSnapshot& snapshot) { snapshot.containers[container->id] = container; });
}

void NodeState::RemovePod(absl::string_view id) {
  Replace([&](NodeSnapshot& snapshot) { snapshot.pods.erase(std::string(id)); });
}

void NodeState::RemoveContainer(absl::string_view id) {
  Replace([&](NodeSnapshot& snapshot) { snapshot.containers.erase(std::string(id)); });
}

PodPtr NodeState::UpdatePod(absl::string_view id, absl::FunctionRef<void(PodStatus&)> change) {
  PodPtr result;
  Replace([&](NodeSnapshot& snapshot) {
    const auto found = snapshot.pods.find(std::string(id));
    if (found == snapshot.pods.end()) return;
    auto next = std::make_shared<PodRecord>(*found->second);
    change(next->status);
    result = found->second = std::move(next);
  });
  return result;
}

ContainerPtr NodeState::UpdateContainer(absl::string_view id,
                                        absl::FunctionRef<void(ContainerRecord&)> change) {
  ContainerPtr result;
  Replace([&](NodeSnapshot& snapshot) {
    const auto found = snapshot.containers.find(std::string(id));
    if (found == snapshot.containers.end()) return;
    auto next = std::make_shared<ContainerRecord>(*found->second);
    change(*next);
    result = found->second = std::move(next);
  });
  return result;
}

absl::StatusOr<PodPtr> NodeState::FindPod(absl::string_view id) const {
  return FindByPrefix(Snapshot()->pods, "pod sandbox", id);
}

absl::StatusOr<ContainerPtr> NodeState::FindContainer(absl::string_view id) const {
  return FindByPrefix(Snapshot()->containers, "container", id);
}

bool NodeState::AwaitContainer(absl::string_view id, absl::Time deadline,
                               absl::FunctionRef<bool(const ContainerRecord&)> done) const {
  const auto finished = [&]() ABSL_NO_THREAD_SAFETY_ANALYSIS {
    const auto found = snapshot_->containers.find(std::string(id));
    return found == snapshot_->containers.end() || done(*found->second);
  };
  absl::MutexLock lock(&mu_);
  return mu_.AwaitWithDeadline(absl::Condition(&finished), deadline);
}

}  // namespace berth
