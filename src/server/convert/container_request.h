// CreateContainerRequest. Pure. Parse takes everything; Check says what is refused.
#pragma once

#include "absl/status/status.h"
#include "cri/runtime/v1/api.pb.h"
#include "src/sandbox/pod_config.h"
#include "src/server/convert/request_policy.h"

namespace berth {

ContainerConfig ParseContainer(const runtime::v1::CreateContainerRequest& request);
// For a container of `pod`. The request's own sandbox_config is not looked at.
absl::Status CheckContainer(const runtime::v1::CreateContainerRequest& request,
                            const PodConfig& pod, const RequestPolicy& policy);

}  // namespace berth
