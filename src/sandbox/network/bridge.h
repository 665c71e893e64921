// The built-in pod network: one bridge, a veth per pod, IPv4 and IPv6 addresses from pools kept in
// the database, masquerade to the outside and ports of the host through one static nftables table.
// All by netlink in process; nothing is exec'ed but the helper that makes namespaces in advance.
// Thread-safe; calls for one pod must not overlap. Several networks live side by side when their
// bridges and subnets differ.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "src/base/log.h"
#include "src/sandbox/network/network.h"
#include "src/store/database.h"

namespace berth {

class BridgeNetwork : public Network {
 public:
  struct Options {
    std::string bridge = "berth0";  // interface name, <= 15 bytes; also names the nftables table
    std::string ipv4_subnet = "10.88.0.0/16";  // the first address is the bridge's
    std::string ipv6_subnet = "fd88::/64";     // "" for none
    uint32_t mtu = 0;                          // 0: that of the interface of the default route
    bool isolate_pods = false;                 // pods do not reach each other
    size_t pool_size = 0;                      // networks that are kept ready
    const Log* log = nullptr;
  };
  // Parses the subnets (InvalidArgument) and loads the pools; makes bridge and nftables table
  // lazily, for the first pod, or repairs them if they are not as they should be, and whenever
  // somebody changes the table. Works in the network namespace of the calling thread, which the
  // threads that call the methods must share. Goes on with removals that an earlier daemon began.
  static absl::StatusOr<std::unique_ptr<BridgeNetwork>> Open(Options options, Database& database);

  // Begin refuses with FailedPrecondition a host port that is taken, and says by whom.
  //
  // Attach gives the pod eth0 with its addresses and default routes, host ports, limits. The
  // descriptors are not used for a namespace that Begin gave. Addresses are committed to the
  // database before the pod can use them. IPv4 first; without IPv6 where the pod has it switched
  // off (disable_ipv6). ResourceExhausted: pool empty. FailedPrecondition: a subnet is in use on
  // another interface, or the bridge's name is, or the kernel cannot limit bandwidth.
  //
  // Detach takes the pod's host ports away, starts the removal of its link (the kernel takes tens
  // of milliseconds; a reaper thread waits for it) and gives the addresses back once the link is
  // gone. It does not fail.
  //
  // Adopt takes the host ports of a pod that runs. Reconcile also looks at the links on the bridge.
  // RemoveIfUnused removes bridge and table (used by tests and `quickstart --down`) and waits for
  // removals under way.

  // Until every Detach so far is finished: links gone, addresses given back. DeadlineExceeded.
  virtual absl::Status WaitUntilReaped(absl::Duration timeout) = 0;

  struct Counts {
    int64_t ready = 0;  // networks that wait for a pod
    int64_t taken_ready = 0, made_at_once = 0;
    int64_t removals_pending = 0, removals_done = 0;
    int64_t host_ports = 0;
    int64_t table_mended = 0;  // after somebody changed it
  };
  virtual Counts counts() const = 0;
};

}  // namespace berth
