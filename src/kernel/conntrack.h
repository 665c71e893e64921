// Tracked connections of the calling thread's network namespace, deleted by nfnetlink: so that
// packets of a flow are looked at anew after rules have changed. UDP needs it: a flow never ends
// there.
#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "src/kernel/ip_address.h"
#include "src/kernel/netlink.h"

namespace berth {

// Which connections: what is set must be equal.
struct ConntrackFilter {
  int family = 0;               // AF_INET or AF_INET6
  uint8_t protocol = 0;         // IPPROTO_*; 0: any
  uint16_t port = 0;            // the first packet's destination port; 0: any
  IpAddress answers_come_from;  // whom the first packet went to in the end; family 0: anybody
};

// Deletes all that match; a connection that ends meanwhile is no error. `netfilter` is a
// NETLINK_NETFILTER socket. The kernel walks its whole table: milliseconds.
absl::Status DeleteConntrack(NetlinkSocket& netfilter, const ConntrackFilter& filter);

}  // namespace berth
