// The host's side of a pod network: the bridge, its table, and the host's ends of pod links. Owned
// by BridgeNetwork. Not thread-safe: the kernel serialises these calls in any case (rtnl lock).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "src/base/log.h"
#include "src/kernel/ip_address.h"
#include "src/kernel/netlink.h"
#include "src/kernel/rtnetlink.h"
#include "src/sandbox/network/host_bridge.h"
#include "src/sandbox/network/host_ports.h"
#include "src/sandbox/network/nat_table.h"
#include "src/sandbox/network/pod_bandwidth.h"

namespace berth {

// The name of the host end of a pod's link: "bth" and the first 12 characters of the pod's id.
std::string HostLinkName(absl::string_view pod_id);

class HostSide {
 public:
  struct Options {
    NatTable table;
    std::vector<IpPrefix> gateways;  // the bridge's own addresses
    uint32_t mtu = 0;                // of the bridge and all links; 0: the uplink's
    const Log* log = nullptr;
  };
  // Opens its sockets in the network namespace of the calling thread. `ports` is borrowed: what a
  // new table must have.
  static absl::StatusOr<HostSide> Open(Options options, const HostPorts& ports);

  // The bridge and the table, made or mended where they are not as they should be.
  absl::Status Prepare();
  // Makes the pod's link as a port of the bridge; its other end is in the namespace, as eth0. Both
  // ends are down.
  absl::Status AddLink(absl::string_view pod_id, const IpAddress& ipv4, int netns_fd);
  // From here on the pod is on the network. NotFound: the link is gone, or was never there.
  absl::Status SetLinkUp(absl::string_view pod_id);
  // FailedPrecondition: the kernel cannot.
  absl::Status Limit(absl::string_view pod_id, const PodBandwidth& limits);
  // Both of a pod that has its link already.
  absl::Status AddHostPorts(absl::string_view pod_id, const std::vector<PublishedPort>& ports);
  absl::Status DeleteHostPorts(const std::vector<PublishedPort>& ports);

  // Makes the table anew if it exists or should exist: after somebody changed it.
  absl::Status MendTable();
  // Lets what is there follow the options, after a start: isolation of the links on the bridge.
  absl::Status Adopt();

  // Names of our kind of link on the bridge.
  absl::StatusOr<std::vector<std::string>> PodLinks();
  // FailedPrecondition: links are attached to the bridge.
  absl::Status Remove();

  // The mtu that the next link gets; 0 before the first Prepare.
  uint32_t mtu() const { return ready_ ? ready_->mtu : 0; }
  // The port number of the socket that changes the table (netlink(7)).
  uint32_t nft_port() const { return nft_.port(); }

 private:
  HostSide(Options options, const HostPorts& ports, NetlinkSocket route, NetlinkSocket nft)
      : options_(std::move(options)),
        ports_(&ports),
        route_(std::move(route)),
        nft_(std::move(nft)) {}
  absl::Status PrepareTable();
  absl::Status FilterReports();
  absl::Status MakeVeth(absl::string_view pod_id, const IpAddress& ipv4, int netns_fd);
  absl::Status Isolate(const std::string& link_name);
  absl::Status SetLoopbackRouting();
  bool HasBridge();

  Options options_;
  const HostPorts* ports_;
  NetlinkSocket route_, nft_;
  bool has_nat_ = true;
  std::optional<HostBridge> ready_;
};

}  // namespace berth
