// RunPodSandboxRequest. Pure. Parse takes everything; Check says what is refused.
#pragma once

#include "absl/status/status.h"
#include "cri/runtime/v1/api.pb.h"
#include "src/sandbox/pod_config.h"
#include "src/server/convert/request_policy.h"

namespace berth {

PodConfig ParsePod(const runtime::v1::RunPodSandboxRequest& request);
absl::Status CheckPod(const runtime::v1::RunPodSandboxRequest& request,
                      const RequestPolicy& policy);

}  // namespace berth
