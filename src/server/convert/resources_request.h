// LinuxContainerResources. Pure. Parse takes everything; Check says what is refused.
#pragma once

#include "absl/status/status.h"
#include "cri/runtime/v1/api.pb.h"
#include "src/sandbox/pod_config.h"

namespace berth {

// Zero and empty are "not given", for an update: "as it is".
CgroupLimits ParseResources(const runtime::v1::LinuxContainerResources& resources);
// -1000..1000, held to that range.
int ParseOomScore(const runtime::v1::LinuxContainerResources& resources);

absl::Status CheckResources(const runtime::v1::LinuxContainerResources& resources);

// As a message: what status tells of limits.
void FillResources(const CgroupLimits& limits, runtime::v1::LinuxContainerResources* out);

}  // namespace berth
