// What the verbose forms of the status rpcs tell people and tools, as JSON. Pure.
#pragma once

#include <string>
#include <vector>

#include "src/sandbox/records.h"

namespace berth {

// `plan` is DescribePlan's; `oci_spec` is the container's config.json. Both may be empty: left out.
std::string ContainerInfoJson(const ContainerRecord& container,
                              const std::vector<std::string>& plan, const std::string& oci_spec);
std::string PodInfoJson(const PodRecord& pod);

}  // namespace berth
