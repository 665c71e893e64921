// Mounts of containers. Pure. Parse takes everything; Check says what is refused.
#pragma once

#include "absl/status/status.h"
#include "cri/runtime/v1/api.pb.h"
#include "src/sandbox/pod_config.h"
#include "src/server/convert/request_policy.h"

namespace berth {

BindMount ParseMount(const runtime::v1::Mount& mount);

// What the kubelet knows by name has that name in front (cri-api, pkg/errors): RROUnsupported,
// ImageVolumeMountFailed.
absl::Status CheckMount(const runtime::v1::Mount& mount, const UserNamespace& pod,
                        const RequestHandler& handler);

}  // namespace berth
