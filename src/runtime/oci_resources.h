// linux.resources of a config.json, in its parts. Pure.
#pragma once

#include <vector>

#include "nlohmann/json.hpp"
#include "src/kernel/cgroup_limits.h"
#include "src/kernel/device_filter.h"

namespace berth {

// Without `devices`: what `update --resources` takes.
nlohmann::ordered_json OciLimits(const CgroupLimits& limits);

// The list `devices`: none but the usual ones, then `more`, as Cgroups::RestrictDevices has them.
nlohmann::ordered_json OciDeviceRules(const std::vector<DeviceRule>& more);

}  // namespace berth
