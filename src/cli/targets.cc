#include "src/cli/targets.h"

#include <map>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "src/base/status_macros.h"
#include "src/cli/failure.h"
#include "src/cli/run_config.h"

namespace berth::cli {
namespace {

constexpr size_t kShortIdLength = 13;
constexpr size_t kMostListed = 5;

bool Accepts(Accept accept, TargetKind kind) {
  switch (accept) {
    case Accept::kContainers:
      return kind == TargetKind::kContainer;
    case Accept::kPods:
      return kind == TargetKind::kPod;
    case Accept::kBoth:
      return true;
  }
  return false;
}

absl::string_view Noun(Accept accept) {
  switch (accept) {
    case Accept::kContainers:
      return "container";
    case Accept::kPods:
      return "pod";
    case Accept::kBoth:
      return "container or pod";
  }
  return "";
}

// NAME, POD/CONTAINER, NAMESPACE/POD or NAMESPACE/POD/CONTAINER.
bool HasName(const Target& target, absl::string_view query) {
  if (query == target.name) return true;
  const std::string in_pod = target.kind == TargetKind::kContainer
                                 ? absl::StrCat(target.pod_name, "/", target.name)
                                 : target.name;
  return query == in_pod || (!target.pod_namespace.empty() &&
                             query == absl::StrCat(target.pod_namespace, "/", in_pod));
}

template <typename Predicate>
std::vector<const Target*> Select(const std::vector<Target>& targets, Accept accept,
                                  Predicate matches) {
  std::vector<const Target*> found;
  for (const Target& target : targets) {
    if (Accepts(accept, target.kind) && matches(target)) found.push_back(&target);
  }
  return found;
}

std::string Describe(const Target& target) {
  const absl::string_view kind = target.kind == TargetKind::kPod ? "pod " : "container ";
  return absl::StrCat(kind, ShortId(target.id), " (", target.name, ")");
}

absl::Status Ambiguous(absl::string_view query, const std::vector<const Target*>& found) {
  std::vector<std::string> names;
  for (const Target* target : found) {
    if (names.size() < kMostListed) names.push_back(Describe(*target));
  }
  if (found.size() > kMostListed)
    names.push_back(absl::StrCat(found.size() - kMostListed, " more"));
  return WithHint(absl::InvalidArgumentError(
                      absl::StrCat("\"", query, "\" is ambiguous: it matches ", found.size())),
                  absl::StrCat("say which one by its id: ", absl::StrJoin(names, ", ")));
}

}  // namespace

std::vector<Target> MakeTargets(const cri::ListContainersResponse& containers,
                                const cri::ListPodSandboxResponse& pods) {
  std::vector<Target> targets;
  std::map<std::string, Target> pods_by_id;
  for (const cri::PodSandbox& pod : pods.items()) {
    Target target = {.kind = TargetKind::kPod,
                     .id = pod.id(),
                     .name = pod.metadata().name(),
                     .pod_id = pod.id(),
                     .pod_name = pod.metadata().name(),
                     .pod_namespace = pod.metadata().namespace_(),
                     .pod_uid = pod.metadata().uid(),
                     .running = pod.state() == cri::SANDBOX_READY,
                     .run_pod = IsRunPod(pod)};
    pods_by_id[pod.id()] = target;
    targets.push_back(std::move(target));
  }
  for (const cri::Container& container : containers.containers()) {
    Target target = pods_by_id[container.pod_sandbox_id()];
    target.kind = TargetKind::kContainer;
    target.id = container.id();
    target.name = container.metadata().name();
    target.pod_id = container.pod_sandbox_id();
    target.running = container.state() == cri::CONTAINER_RUNNING;
    targets.push_back(std::move(target));
  }
  return targets;
}

absl::StatusOr<Target> FindTarget(const std::vector<Target>& targets, absl::string_view query,
                                  Accept accept) {
  auto found = Select(targets, accept, [&](const Target& t) { return t.id == query; });
  if (found.empty()) {
    found = Select(targets, accept, [&](const Target& t) { return HasName(t, query); });
    const auto containers = Select(targets, accept, [&](const Target& t) {
      return t.kind == TargetKind::kContainer && HasName(t, query);
    });
    if (!containers.empty()) found = containers;
  }
  if (found.empty() && !query.empty()) {
    found = Select(targets, accept, [&](const Target& t) { return absl::StartsWith(t.id, query); });
  }
  if (found.size() == 1) return *found[0];
  if (found.size() > 1) return Ambiguous(query, found);
  return WithHint(
      absl::NotFoundError(absl::StrCat("no ", Noun(accept), " has the id or name \"", query, "\"")),
      accept == Accept::kPods ? "berth pods lists the pods"
                              : "berth ps -a lists the containers, berth pods the pods");
}

absl::StatusOr<std::vector<Target>> ListTargets(Client& client) {
  ASSIGN_OR_RETURN(const cri::ListContainersResponse containers, client.ListContainers({}));
  ASSIGN_OR_RETURN(const cri::ListPodSandboxResponse pods, client.ListPodSandbox({}));
  return MakeTargets(containers, pods);
}

absl::StatusOr<Target> ResolveTarget(Client& client, absl::string_view query, Accept accept) {
  ASSIGN_OR_RETURN(const std::vector<Target> targets, ListTargets(client));
  return FindTarget(targets, query, accept);
}

std::string ShortId(absl::string_view id) {
  return std::string(absl::StripPrefix(id, "sha256:").substr(0, kShortIdLength));
}

}  // namespace berth::cli
