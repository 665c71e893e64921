// The built-in pod network: one bridge, a veth per pod, IPv4 and IPv6 addresses from pools kept in
// the database, masquerade to the outside through one static nftables table. All by netlink in
// process; nothing is exec'ed. Thread-safe; Attach and Detach of one pod must not overlap. Several
// networks live side by side when their bridges and subnets differ.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "src/base/log.h"
#include "src/sandbox/network/network.h"
#include "src/store/database.h"

namespace berth {

struct InterfaceCounters {
  std::string name;
  uint64_t rx_bytes = 0, rx_packets = 0, rx_errors = 0, rx_dropped = 0;
  uint64_t tx_bytes = 0, tx_packets = 0, tx_errors = 0, tx_dropped = 0;
};

class BridgeNetwork : public Network {
 public:
  struct Options {
    std::string bridge = "berth0";  // interface name, <= 15 bytes; also names the nftables table
    std::string ipv4_subnet = "10.88.0.0/16";  // the first address is the bridge's
    std::string ipv6_subnet = "fd88::/64";     // "" for none
    const Log* log = nullptr;
  };
  // Parses the subnets (InvalidArgument) and loads the pools; makes bridge and nftables table
  // lazily, at the first Attach, or repairs them if they are not as they should be. Works in the
  // network namespace of the calling thread, which the threads that call the methods must share.
  // Goes on with removals that an earlier daemon began.
  static absl::StatusOr<std::unique_ptr<BridgeNetwork>> Open(Options options, Database& database);
  // Attach gives the pod eth0 with its addresses and default routes. Addresses are committed to the
  // database before any link exists. IPv4 first; without IPv6 where the pod has it switched off
  // (disable_ipv6). ResourceExhausted: pool empty. FailedPrecondition: a subnet is in use on
  // another interface, or the bridge's name is. Unimplemented: host ports.
  //
  // Detach starts the removal of the pod's link (the kernel takes tens of milliseconds; a reaper
  // thread waits for it) and gives the addresses back once the link is gone. It does not fail.
  //
  // Reconcile also looks at the links on the bridge. RemoveIfUnused removes bridge and table (used
  // by tests and `quickstart --down`) and waits for removals under way.

  // Until every Detach so far is finished: links gone, addresses given back. DeadlineExceeded.
  virtual absl::Status WaitUntilReaped(absl::Duration timeout) = 0;
};

// The name of the host end of a pod's link: "bth" and the first 12 characters of the pod's id.
std::string HostLinkName(absl::string_view pod_id);

// `lo` up in the namespace of `netlink_fd` (for pods without a bridge, and called by Attach).
absl::Status SetLoopbackUp(int netlink_fd);

// Counters of all interfaces in the namespace of `netlink_fd` (RTM_GETLINK dump), lo included.
absl::StatusOr<std::vector<InterfaceCounters>> ReadInterfaceCounters(int netlink_fd);

}  // namespace berth
