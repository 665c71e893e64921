// Links, addresses and routes by rtnetlink: builders that append one request to a batch, and
// readers.
#pragma once

#include <linux/if_link.h>

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "src/kernel/ip_address.h"
#include "src/kernel/netlink.h"

namespace berth {

using MacAddress = std::array<uint8_t, 6>;

// Interface names are 1 to 15 bytes without '/', ':' and white space, not "." or ".."
// (dev_valid_name).
bool IsInterfaceName(absl::string_view name);

struct BridgeSpec {
  std::string name;
  MacAddress mac;
};
// Without snooping of multicast: it needs a querier to leave a port out (RFC 4541, 3), and without
// one the bridge asks each port that comes up, and floods as it does when it does not look.
// AlreadyExists when the name is taken.
void AddBridge(NetlinkBatch& batch, const BridgeSpec& spec);

struct VethSpec {
  std::string name;
  int master = 0;  // index of the bridge; 0 for none
  uint32_t mtu = 1500;
  std::string peer_name;
  int peer_netns_fd = -1;  // where the peer appears
  std::optional<MacAddress> peer_mac;
};
// Both ends start down.
void AddVeth(NetlinkBatch& batch, const VethSpec& spec);

// An intermediate functional block: what is redirected to it leaves by its queue and comes in then
// (RedirectIncoming). Starts down. AlreadyExists; Unimplemented: the kernel has no ifb.
void AddIfb(NetlinkBatch& batch, absl::string_view name);

// What SetLink changes; fields left alone change nothing.
struct LinkChange {
  std::optional<bool> up;
  int master = 0;  // index of the bridge that it becomes a port of
  std::optional<uint32_t> mtu;
  std::optional<uint32_t> group;
  std::string alias;             // for people: `ip link` shows it; at most 255 bytes
  bool no_ipv6_address = false;  // no link-local address of its own (IN6_ADDR_GEN_MODE_NONE)
};
// NotFound: no link of that name.
void SetLink(NetlinkBatch& batch, absl::string_view name, const LinkChange& change);

struct BridgePortChange {
  std::optional<bool> isolated;  // no frames to or from other isolated ports
  std::optional<bool> hairpin;   // frames may leave by the port that they came in by
};
// `index`: of a port of a bridge.
void SetBridgePort(NetlinkBatch& batch, int index, const BridgePortChange& change);

// NotFound when the link is gone already (ENODEV).
void DeleteLink(NetlinkBatch& batch, int index);
// All links of a group (`LinkChange::group`) in one go: the kernel waits once for all of them.
void DeleteLinkGroup(NetlinkBatch& batch, uint32_t group);

// `address` with its prefix length. IPv6: no duplicate address detection, usable at once.
// AlreadyExists.
void AddAddress(NetlinkBatch& batch, int index, const IpPrefix& address);

// The default route of the gateway's family.
void AddDefaultRoute(NetlinkBatch& batch, int index, const IpAddress& gateway);

struct Link {
  int index = 0;
  int master = 0;  // index of the bridge it is a port of, 0 for none
  std::string name;
  std::string kind;    // "bridge", "veth", ..., "" for hardware and lo
  uint32_t flags = 0;  // IFF_*
  uint32_t mtu = 0;
};
// NotFound: no link of that name.
absl::StatusOr<Link> GetLink(NetlinkSocket& socket, absl::string_view name);
absl::StatusOr<std::vector<Link>> ListLinks(NetlinkSocket& socket);

struct LinkCounters {
  std::string name;
  rtnl_link_stats64 stats = {};
};
// Of every link (RTM_GETSTATS, Linux 4.7): a third of what ListLinks costs.
absl::StatusOr<std::vector<LinkCounters>> ListLinkCounters(NetlinkSocket& socket);

struct InterfaceAddress {
  int index = 0;
  IpPrefix prefix;
};
absl::StatusOr<std::vector<InterfaceAddress>> ListAddresses(NetlinkSocket& socket);

// Unicast routes of the main table.
struct Route {
  IpPrefix destination;  // length 0: the default route
  int index = 0;         // outgoing interface, 0 when it has several or none
  uint32_t metric = 0;
};
absl::StatusOr<std::vector<Route>> ListRoutes(NetlinkSocket& socket);

}  // namespace berth
