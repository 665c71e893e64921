#include "src/sandbox/network/host_bridge.h"

#include <sys/socket.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/base/status_macros.h"
#include "src/sandbox/network/forwarding.h"

namespace berth {
namespace {

constexpr uint32_t kDefaultMtu = 1500;

std::string NameOf(const std::vector<Link>& links, int index) {
  for (const Link& link : links) {
    if (link.index == index) return link.name;
  }
  return absl::StrCat("interface ", index);
}

absl::Status InUse(const IpPrefix& subnet, absl::string_view what, const std::string& interface) {
  return absl::FailedPreconditionError(absl::StrCat("use subnet ", subnet.ToString(), ": overlaps ",
                                                    what, " of interface ", interface));
}

// A route that is wider than the subnet is no conflict: the bridge's more specific one is meant to
// win over it.
absl::Status CheckUnused(NetlinkSocket& route, const std::vector<Link>& links, int bridge,
                         const IpPrefix& subnet) {
  ASSIGN_OR_RETURN(const auto addresses, ListAddresses(route));
  for (const InterfaceAddress& address : addresses) {
    if (address.index != bridge && address.prefix.Overlaps(subnet)) {
      return InUse(subnet, address.prefix.ToString(), NameOf(links, address.index));
    }
  }
  ASSIGN_OR_RETURN(const auto routes, ListRoutes(route));
  for (const Route& entry : routes) {
    if (entry.index != bridge && entry.destination.length >= subnet.length &&
        entry.destination.Overlaps(subnet)) {
      return InUse(subnet, absl::StrCat("route ", entry.destination.ToString()),
                   NameOf(links, entry.index));
    }
  }
  return absl::OkStatus();
}

// The MTU of the interface that the default route leaves by; of several, the one the kernel
// prefers.
absl::StatusOr<uint32_t> UplinkMtu(NetlinkSocket& route, const std::vector<Link>& links) {
  ASSIGN_OR_RETURN(auto routes, ListRoutes(route));
  const auto preference = [](const Route& r) {
    return std::pair(r.destination.address.family, r.metric);
  };
  std::optional<Route> uplink;
  for (const Route& entry : routes) {
    if (entry.destination.length != 0 || entry.index == 0) continue;
    if (!uplink || preference(entry) < preference(*uplink)) uplink = entry;
  }
  if (!uplink) return kDefaultMtu;
  for (const Link& link : links) {
    if (link.index == uplink->index) return link.mtu;
  }
  return kDefaultMtu;
}

absl::Status AcceptExisting(const absl::Status& status) {
  return absl::IsAlreadyExists(status) ? absl::OkStatus() : status;
}

absl::Status Configure(NetlinkSocket& route, const std::string& name, int index, uint32_t mtu,
                       const std::vector<IpPrefix>& gateways) {
  const bool ipv6 = gateways.size() > 1;
  // Before it is up: pods must not be able to hand the host routes, and its own addresses need no
  // detection.
  if (ipv6) RETURN_IF_ERROR(PrepareIpv6(name));
  NetlinkBatch up;
  SetLink(up, name, {.up = true, .mtu = mtu, .alias = "berth pod network"});
  RETURN_IF_ERROR(route.Run(std::move(up)));
  for (const IpPrefix& gateway : gateways) {
    NetlinkBatch add;
    AddAddress(add, index, gateway);
    RETURN_IF_ERROR(AcceptExisting(route.Run(std::move(add))));
  }
  return EnableForwarding({.ipv6 = ipv6, .except = name});
}

}  // namespace

MacAddress MacFor(const IpAddress& ipv4) {
  return {0x02, 0xbe, ipv4.bytes[0], ipv4.bytes[1], ipv4.bytes[2], ipv4.bytes[3]};
}

absl::StatusOr<HostBridge> EnsureBridge(NetlinkSocket& route, const std::string& name,
                                        const std::vector<IpPrefix>& gateways, uint32_t mtu) {
  ASSIGN_OR_RETURN(const auto links, ListLinks(route));
  const auto found =
      std::find_if(links.begin(), links.end(), [&](const Link& link) { return link.name == name; });
  const bool exists = found != links.end();
  if (exists && found->kind != "bridge") {
    return absl::FailedPreconditionError(
        absl::StrCat("use bridge ", name, ": an interface of that name is no bridge"));
  }
  for (const IpPrefix& gateway : gateways) {
    const IpPrefix subnet = {.address = gateway.Network(), .length = gateway.length};
    RETURN_IF_ERROR(CheckUnused(route, links, exists ? found->index : 0, subnet));
  }
  if (!exists) {
    NetlinkBatch create;
    AddBridge(create, {.name = name, .mac = MacFor(gateways[0].address)});
    RETURN_IF_ERROR(AcceptExisting(route.Run(std::move(create))));
  }
  ASSIGN_OR_RETURN(const Link bridge, GetLink(route, name));
  if (mtu == 0) {
    ASSIGN_OR_RETURN(mtu, UplinkMtu(route, links));
  }
  RETURN_IF_ERROR(Configure(route, name, bridge.index, mtu, gateways));
  return HostBridge{.index = bridge.index, .mtu = mtu};
}

absl::Status RemoveBridge(NetlinkSocket& route, const std::string& name) {
  ASSIGN_OR_RETURN(const auto links, ListLinks(route));
  const auto bridge =
      std::find_if(links.begin(), links.end(), [&](const Link& link) { return link.name == name; });
  if (bridge == links.end()) return absl::OkStatus();
  if (bridge->kind != "bridge") {
    return absl::FailedPreconditionError(absl::StrCat("remove bridge ", name, ": it is no bridge"));
  }
  for (const Link& link : links) {
    if (link.master == bridge->index) {
      return absl::FailedPreconditionError(
          absl::StrCat("remove bridge ", name, ": ", link.name, " is attached to it"));
    }
  }
  NetlinkBatch remove;
  DeleteLink(remove, bridge->index);
  const absl::Status status = route.Run(std::move(remove));
  return absl::IsNotFound(status) ? absl::OkStatus() : status;
}

}  // namespace berth
