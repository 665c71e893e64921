// What a person means by an id on the command line: any unambiguous prefix of an id, a name, or
// POD/NAME.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cri/runtime/v1/api.pb.h"
#include "src/cli/client.h"

namespace berth::cli {

enum class TargetKind { kContainer, kPod };

struct Target {
  TargetKind kind = TargetKind::kContainer;
  std::string id;
  std::string name;    // of the container or the pod
  std::string pod_id;  // its own id for a pod
  std::string pod_name;
  std::string pod_namespace;
  std::string pod_uid;
  bool running = false;  // container running, or pod ready
  bool run_pod =
      false;  // the pod was made by `berth run` and lives and dies with its one container
};

enum class Accept { kContainers, kPods, kBoth };

std::vector<Target> MakeTargets(const cri::ListContainersResponse& containers,
                                const cri::ListPodSandboxResponse& pods);

// A full id wins over a name, a name over a prefix; where a container and a pod have the same name,
// the container is meant. NotFound; InvalidArgument where several match, with a hint that lists
// them.
absl::StatusOr<Target> FindTarget(const std::vector<Target>& targets, absl::string_view query,
                                  Accept accept);

// All containers and pods of the node.
absl::StatusOr<std::vector<Target>> ListTargets(Client& client);
// ListTargets and FindTarget.
absl::StatusOr<Target> ResolveTarget(Client& client, absl::string_view query, Accept accept);

// The first 13 characters, as crictl prints ids; "sha256:" is left out.
std::string ShortId(absl::string_view id);

}  // namespace berth::cli
