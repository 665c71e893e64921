// The host's side of a pod network: the bridge device with the gateway addresses, and packet
// forwarding. Used by BridgeNetwork. Acts in the network namespace of `route`, which must be the
// calling thread's (sysctls).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "src/kernel/ip_address.h"
#include "src/kernel/netlink.h"
#include "src/kernel/rtnetlink.h"

namespace berth {

struct HostBridge {
  int index = 0;
  uint32_t mtu = 1500;  // what pods get too
};

// Locally administered, from the address. A pod that gets the address of an earlier one has its MAC
// address too, so no neighbour table goes stale. `ipv4` must be IPv4.
MacAddress MacFor(const IpAddress& ipv4);

// Makes the bridge, or adds what is missing of an existing one. `gateways`: its addresses, IPv4
// first. `mtu` 0: that of the interface of the default route. FailedPrecondition: the name belongs
// to something else, or a subnet is in use on another interface.
absl::StatusOr<HostBridge> EnsureBridge(NetlinkSocket& route, const std::string& name,
                                        const std::vector<IpPrefix>& gateways, uint32_t mtu);

// OK when it is gone already. FailedPrecondition: it has ports, or is no bridge.
absl::Status RemoveBridge(NetlinkSocket& route, const std::string& name);

}  // namespace berth
