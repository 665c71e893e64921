// Endpoints as they travel in a PullJob (docs/formats/pull-protocol.md). Pure.
#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"
#include "src/image/registry_endpoint.h"

namespace berth {

nlohmann::json EncodeAuth(const RegistryAuth& auth);
absl::StatusOr<RegistryAuth> DecodeAuth(const nlohmann::json& auth);

nlohmann::json EncodeEndpoints(const std::vector<RegistryEndpoint>& endpoints);
// Of an array; InvalidArgument for members of another type.
absl::StatusOr<std::vector<RegistryEndpoint>> DecodeEndpoints(const nlohmann::json& list);

}  // namespace berth
