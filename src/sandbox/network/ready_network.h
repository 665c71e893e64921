// A pod network that is made before its pod. Of the bridge: a namespace with eth0 in it, addresses
// and routes set, the host's end a port of the bridge but down; for CNI plugins one with `lo`
// alone.
#pragma once

#include <cstdint>
#include <string>

#include "src/base/unique_fd.h"

namespace berth {

struct ReadyNetwork {
  std::string id;       // of the pod that will have it; "" for CNI plugins
  uint32_t number = 0;  // in the address pool
  uint32_t mtu = 0;
  UniqueFd netns;
};

}  // namespace berth
