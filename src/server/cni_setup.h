// The CNI network as the configuration asks for it. Pure.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "src/base/log.h"
#include "src/sandbox/network/cni_network.h"
#include "src/sandbox/network/network_choice.h"
#include "src/server/config.h"

namespace berth {

// InvalidArgument names the key. `helpers`: the directory of berth-monitor.
absl::StatusOr<CniNetwork::Options> CniOptionsOf(const Config& config, const std::string& helpers,
                                                 const Log& log);
NetworkMode NetworkModeOf(const Config& config);

}  // namespace berth
