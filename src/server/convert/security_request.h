// Security contexts of pods and containers. Pure. Parse takes everything; Check says what is
// refused.
#pragma once

#include "absl/status/status.h"
#include "cri/runtime/v1/api.pb.h"
#include "src/sandbox/pod_config.h"
#include "src/server/convert/request_policy.h"

namespace berth {

SelinuxLabel ParseSelinux(const runtime::v1::SELinuxOption& label);

// All of the context but its namespace options.
void ParseSecurity(const runtime::v1::LinuxContainerSecurityContext& security,
                   ContainerConfig* config);

absl::Status CheckPodSecurity(const runtime::v1::LinuxSandboxSecurityContext& security,
                              const RequestPolicy& policy);
absl::Status CheckContainerSecurity(const runtime::v1::LinuxContainerSecurityContext& security,
                                    const PodConfig& pod, const RequestPolicy& policy);

}  // namespace berth
