// The nftables table of one pod network: what leaves its subnets by another interface than its
// bridge gets the host's address, and ports of the host lead to pods. Static but for the elements
// of its maps. docs/adr/0003-nftables-by-netlink.md.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "src/kernel/ip_address.h"
#include "src/kernel/netlink.h"
#include "src/kernel/nftables.h"

namespace berth {

// "berth-<bridge>", so that several networks live side by side.
std::string NatTableName(absl::string_view bridge);

struct NatTable {
  std::string bridge;
  std::vector<IpPrefix> subnets;
  bool isolated = false;  // nothing is forwarded from pod to pod
};

// A port of the host: `address` of family 0 for all of its addresses of `to`'s family.
using PublishedPort = NftDestination;

// Makes the table with these ports, or replaces it in one transaction when it was made for other
// subnets or by another version. `nft` is a NETLINK_NETFILTER socket. A table that is right costs
// one request, and keeps the ports that it has.
absl::Status EnsureNatTable(NetlinkSocket& nft, const NatTable& table,
                            const std::vector<PublishedPort>& ports);

// The same, but whatever is in it is replaced.
absl::Status ReplaceNatTable(NetlinkSocket& nft, const NatTable& table,
                             const std::vector<PublishedPort>& ports);

// All or none. AlreadyExists, NotFound.
absl::Status AddPorts(NetlinkSocket& nft, const NatTable& table,
                      const std::vector<PublishedPort>& ports);
absl::Status DeletePorts(NetlinkSocket& nft, const NatTable& table,
                         const std::vector<PublishedPort>& ports);

// OK when there is none.
absl::Status RemoveNatTable(NetlinkSocket& nft, absl::string_view bridge);

}  // namespace berth
