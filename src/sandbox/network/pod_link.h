// The pod's side of the network: what is set through a netlink socket of the pod's own namespace.
#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "src/kernel/ip_address.h"
#include "src/kernel/netlink.h"
#include "src/sandbox/network/bridge.h"

namespace berth {

inline constexpr char kPodInterface[] = "eth0";

// `lo` and eth0 up, the addresses, and default routes through `gateways` (same order). Returns the
// addresses that were set: the IPv6 one is left out where the pod has IPv6 switched off.
absl::StatusOr<std::vector<IpPrefix>> ConfigurePodLink(int netlink_fd,
                                                       const std::vector<IpPrefix>& addresses,
                                                       const std::vector<IpPrefix>& gateways);

// Of all interfaces in the namespace of `socket`.
absl::StatusOr<std::vector<InterfaceCounters>> ListInterfaceCounters(NetlinkSocket& socket);

}  // namespace berth
