// NamespaceOption of pods and containers. Pure. Parse takes everything; Check says what is refused.
#pragma once

#include <vector>

#include "absl/status/status.h"
#include "cri/runtime/v1/api.pb.h"
#include "src/runtime/container_plan.h"
#include "src/server/convert/request_policy.h"

namespace berth {

NamespaceMode ParseMode(runtime::v1::NamespaceMode mode);
// Mode NODE, and none at all, is the node's.
UserNamespace ParseUserNamespace(const runtime::v1::NamespaceOption& options);
std::vector<IdMapping> ParseMappings(
    const google::protobuf::RepeatedPtrField<runtime::v1::IDMapping>& mappings);
bool SameMappings(const std::vector<IdMapping>& a, const std::vector<IdMapping>& b);

// What a pod can have. `handler` is the pod's.
absl::Status CheckPodNamespaces(const runtime::v1::NamespaceOption& options,
                                const RequestPolicy& policy, const RequestHandler& handler);
// A container is in its pod's namespaces; POD, the default, is whatever those are.
absl::Status CheckContainerNamespaces(const runtime::v1::NamespaceOption& options,
                                      const PodSpec& pod);

}  // namespace berth
