// The mounts of a config.json. Only oci_spec.cc uses this. Pure.
#pragma once

#include <nlohmann/json.hpp>

#include "src/runtime/oci_spec.h"

namespace berth {

nlohmann::ordered_json OciMounts(const ContainerSpec& spec, const OciContext& context);

// linux.rootfsPropagation, or "" for the default: no less than what the mounts need.
std::string OciRootPropagation(const ContainerSpec& spec);

nlohmann::ordered_json OciMappings(const std::vector<IdMapping>& mappings);

}  // namespace berth
