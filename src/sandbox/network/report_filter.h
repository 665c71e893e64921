// What keeps the multicast membership reports of IPv6 off the other pods of a bridge. A pod sends
// several when its link comes up, and a bridge without a router of multicast floods each to all of
// its ports: one pod more would cost a node time for every pod that it has. Nobody listens to them:
// where there is no querier, all multicast goes to all ports in any case (RFC 4541, 3).
#pragma once

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "src/kernel/netlink.h"

namespace berth {

// Makes the table "berth-<bridge>" of nftables' bridge family, or replaces it: reports (MLDv2, RFC
// 3810) that come in by links that are called `link_prefix`... are dropped. `nft` is a
// NETLINK_NETFILTER socket. Unimplemented: this kernel has no such family; reports are flooded
// then.
absl::Status ReplaceReportFilter(NetlinkSocket& nft, absl::string_view bridge,
                                 absl::string_view link_prefix);

// OK when there is none.
absl::Status RemoveReportFilter(NetlinkSocket& nft, absl::string_view bridge);

}  // namespace berth
