// The pod's side of the network: what is set through a netlink socket of the pod's own namespace.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "src/kernel/ip_address.h"
#include "src/kernel/netlink.h"

namespace berth {

inline constexpr char kPodInterface[] = "eth0";

// `lo` and eth0 up, the addresses, and default routes through `gateways` (same order). Returns the
// addresses that were set: the IPv6 one is left out where the pod has IPv6 switched off.
absl::StatusOr<std::vector<IpPrefix>> ConfigurePodLink(int netlink_fd,
                                                       const std::vector<IpPrefix>& addresses,
                                                       const std::vector<IpPrefix>& gateways);

// `lo` up, for pods whose eth0 is not ConfigurePodLink's.
absl::Status SetLoopbackUp(int netlink_fd);

struct InterfaceCounters {
  std::string name;
  uint64_t rx_bytes = 0, rx_packets = 0, rx_errors = 0, rx_dropped = 0;
  uint64_t tx_bytes = 0, tx_packets = 0, tx_errors = 0, tx_dropped = 0;

  friend bool operator==(const InterfaceCounters&, const InterfaceCounters&) = default;
};

// Of all interfaces in the namespace of the socket, lo included.
absl::StatusOr<std::vector<InterfaceCounters>> ListInterfaceCounters(NetlinkSocket& socket);
absl::StatusOr<std::vector<InterfaceCounters>> ReadInterfaceCounters(int netlink_fd);

}  // namespace berth
