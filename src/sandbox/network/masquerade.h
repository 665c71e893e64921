// The nftables table of one pod network: what leaves its subnets by another interface than its
// bridge gets the host's address. Static: nothing in it depends on a pod.
// docs/adr/0003-nftables-by-netlink.md.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "src/kernel/ip_address.h"
#include "src/kernel/netlink.h"

namespace berth {

// "berth-<bridge>", so that several networks live side by side.
std::string TableName(absl::string_view bridge);

// Makes the table, or replaces it in one transaction when it was made for other subnets or by
// another version. `nft` is a NETLINK_NETFILTER socket. A table that is right costs one request.
absl::Status EnsureMasquerade(NetlinkSocket& nft, absl::string_view bridge,
                              const std::vector<IpPrefix>& subnets);

// OK when there is none.
absl::Status RemoveMasquerade(NetlinkSocket& nft, absl::string_view bridge);

}  // namespace berth
