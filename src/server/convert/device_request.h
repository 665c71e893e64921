// Devices of containers, of the host and by the Container Device Interface. Pure. Parse takes
// everything; Check says what is refused.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "cri/runtime/v1/api.pb.h"
#include "src/sandbox/pod_config.h"

namespace berth {

std::vector<DeviceRequest> ParseDevices(const runtime::v1::ContainerConfig& config);
// Of CDI_devices, then of the annotations cdi.k8s.io/* in key order, each name once: the kubelet
// sends both for the same device.
std::vector<std::string> ParseCdiNames(const runtime::v1::ContainerConfig& config);

absl::Status CheckDevices(const runtime::v1::ContainerConfig& config);

}  // namespace berth
