#include "src/kernel/rtnetlink.h"

#include <libmnl/libmnl.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "src/base/status_macros.h"

namespace berth {
namespace {

constexpr uint16_t kCreate = NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL;

ifinfomsg* PutLinkHeader(nlmsghdr* request) {
  return static_cast<ifinfomsg*>(mnl_nlmsg_put_extra_header(request, sizeof(ifinfomsg)));
}

void PutString(nlmsghdr* request, uint16_t type, absl::string_view text) {
  mnl_attr_put_strz(request, type, std::string(text).c_str());
}

// One queue per direction: veth transmits without a lock, and the default of one per CPU costs
// memory and time (a sysfs object each) with every pod.
void PutVethEnd(nlmsghdr* request, const VethSpec& spec) {
  mnl_attr_put_u32(request, IFLA_MTU, spec.mtu);
  mnl_attr_put_u32(request, IFLA_NUM_TX_QUEUES, 1);
  mnl_attr_put_u32(request, IFLA_NUM_RX_QUEUES, 1);
}

void PutAddress(nlmsghdr* request, uint16_t type, const IpAddress& address) {
  mnl_attr_put(request, type, address.size(), address.bytes.data());
}

// Runs a dump and hands each answer to `read`, which returns the value to keep or nothing. A dump
// during which the table changed may lack entries, so it is run again; after some attempts its
// Aborted is returned.
template <typename Value>
absl::StatusOr<std::vector<Value>> Dump(NetlinkSocket& socket, const NetlinkBatch& request,
                                        std::optional<Value> (*read)(const nlmsghdr&)) {
  constexpr int kAttempts = 10;
  absl::Status status;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    std::vector<Value> values;
    status = socket.Query(request, [&](const nlmsghdr& message) {
      if (std::optional<Value> value = read(message)) values.push_back(*std::move(value));
    });
    if (status.ok()) return values;
    if (!absl::IsAborted(status)) break;
  }
  return status;
}

std::string StringOf(const nlattr& attribute) {
  const auto* text = static_cast<const char*>(mnl_attr_get_payload(&attribute));
  return std::string(text, strnlen(text, mnl_attr_get_payload_len(&attribute)));
}

// Attribute payloads are shorter than asked for on kernels that know fewer fields.
template <typename Value>
Value ValueOf(const nlattr& attribute) {
  Value value = {};
  std::memcpy(&value, mnl_attr_get_payload(&attribute),
              std::min<size_t>(sizeof(value), mnl_attr_get_payload_len(&attribute)));
  return value;
}

IpAddress AddressOf(int family, const nlattr& attribute) {
  IpAddress address{.family = family};
  std::memcpy(address.bytes.data(), mnl_attr_get_payload(&attribute),
              std::min<size_t>(address.size(), mnl_attr_get_payload_len(&attribute)));
  return address;
}

std::optional<Link> ReadLink(const nlmsghdr& message) {
  if (message.nlmsg_type != RTM_NEWLINK) return std::nullopt;
  const auto* info = static_cast<const ifinfomsg*>(mnl_nlmsg_get_payload(&message));
  Link link{.index = info->ifi_index, .flags = info->ifi_flags};
  ForEachAttribute(message, sizeof(*info), [&](const nlattr& attribute) {
    switch (mnl_attr_get_type(&attribute)) {
      case IFLA_IFNAME:
        link.name = StringOf(attribute);
        break;
      case IFLA_MASTER:
        link.master = ValueOf<int>(attribute);
        break;
      case IFLA_MTU:
        link.mtu = ValueOf<uint32_t>(attribute);
        break;
      case IFLA_LINKINFO:
        ForEachNested(attribute, [&](const nlattr& nested) {
          if (mnl_attr_get_type(&nested) == IFLA_INFO_KIND) link.kind = StringOf(nested);
        });
        break;
    }
  });
  return link;
}

struct IndexedStats {
  int index = 0;
  rtnl_link_stats64 stats = {};
};

std::optional<IndexedStats> ReadStats(const nlmsghdr& message) {
  if (message.nlmsg_type != RTM_NEWSTATS) return std::nullopt;
  const auto* info = static_cast<const if_stats_msg*>(mnl_nlmsg_get_payload(&message));
  IndexedStats link{.index = static_cast<int>(info->ifindex)};
  ForEachAttribute(message, sizeof(*info), [&](const nlattr& attribute) {
    if (mnl_attr_get_type(&attribute) == IFLA_STATS_LINK_64)
      link.stats = ValueOf<rtnl_link_stats64>(attribute);
  });
  return link;
}

std::optional<InterfaceAddress> ReadAddress(const nlmsghdr& message) {
  if (message.nlmsg_type != RTM_NEWADDR) return std::nullopt;
  const auto* info = static_cast<const ifaddrmsg*>(mnl_nlmsg_get_payload(&message));
  if (info->ifa_family != AF_INET && info->ifa_family != AF_INET6) return std::nullopt;
  InterfaceAddress result{.index = static_cast<int>(info->ifa_index)};
  result.prefix.length = info->ifa_prefixlen;
  ForEachAttribute(message, sizeof(*info), [&](const nlattr& attribute) {
    // IFA_LOCAL is the interface's own address; where it is missing (IPv6 without a peer)
    // IFA_ADDRESS is.
    const uint16_t type = mnl_attr_get_type(&attribute);
    if (type == IFA_LOCAL || (type == IFA_ADDRESS && result.prefix.address.family == 0)) {
      result.prefix.address = AddressOf(info->ifa_family, attribute);
    }
  });
  if (result.prefix.address.family == 0) return std::nullopt;
  return result;
}

std::optional<Route> ReadRoute(const nlmsghdr& message) {
  if (message.nlmsg_type != RTM_NEWROUTE) return std::nullopt;
  const auto* info = static_cast<const rtmsg*>(mnl_nlmsg_get_payload(&message));
  const bool wanted = info->rtm_table == RT_TABLE_MAIN && info->rtm_type == RTN_UNICAST &&
                      !(info->rtm_flags & RTM_F_CLONED) &&
                      (info->rtm_family == AF_INET || info->rtm_family == AF_INET6);
  if (!wanted) return std::nullopt;
  Route route;
  route.destination = {.address = {.family = info->rtm_family}, .length = info->rtm_dst_len};
  ForEachAttribute(message, sizeof(*info), [&](const nlattr& attribute) {
    switch (mnl_attr_get_type(&attribute)) {
      case RTA_DST:
        route.destination.address = AddressOf(info->rtm_family, attribute);
        break;
      case RTA_OIF:
        route.index = ValueOf<int>(attribute);
        break;
      case RTA_PRIORITY:
        route.metric = ValueOf<uint32_t>(attribute);
        break;
    }
  });
  return route;
}

}  // namespace

bool IsInterfaceName(absl::string_view name) {
  return !name.empty() && name.size() < IFNAMSIZ && name != "." && name != ".." &&
         std::none_of(name.begin(), name.end(), [](char c) {
           return c == '/' || c == ':' || c == '\0' ||
                  absl::ascii_isspace(static_cast<unsigned char>(c));
         });
}

void AddBridge(NetlinkBatch& batch, const BridgeSpec& spec) {
  nlmsghdr* request = batch.Begin(RTM_NEWLINK, kCreate, "create bridge", spec.name);
  PutLinkHeader(request);
  PutString(request, IFLA_IFNAME, spec.name);
  // An address of its own: a bridge without one takes on the lowest of its ports and changes it as
  // pods come and go.
  mnl_attr_put(request, IFLA_ADDRESS, spec.mac.size(), spec.mac.data());
  nlattr* info = mnl_attr_nest_start(request, IFLA_LINKINFO);
  PutString(request, IFLA_INFO_KIND, "bridge");
  nlattr* data = mnl_attr_nest_start(request, IFLA_INFO_DATA);
  mnl_attr_put_u8(request, IFLA_BR_MCAST_SNOOPING, 0);
  mnl_attr_nest_end(request, data);
  mnl_attr_nest_end(request, info);
}

void AddVeth(NetlinkBatch& batch, const VethSpec& spec) {
  nlmsghdr* request = batch.Begin(RTM_NEWLINK, kCreate, "create link", spec.name);
  PutLinkHeader(request);
  PutString(request, IFLA_IFNAME, spec.name);
  PutVethEnd(request, spec);
  if (spec.master != 0) mnl_attr_put_u32(request, IFLA_MASTER, spec.master);
  nlattr* info = mnl_attr_nest_start(request, IFLA_LINKINFO);
  PutString(request, IFLA_INFO_KIND, "veth");
  nlattr* data = mnl_attr_nest_start(request, IFLA_INFO_DATA);
  nlattr* peer = mnl_attr_nest_start(request, VETH_INFO_PEER);
  PutLinkHeader(request);
  PutString(request, IFLA_IFNAME, spec.peer_name);
  PutVethEnd(request, spec);
  mnl_attr_put_u32(request, IFLA_NET_NS_FD, spec.peer_netns_fd);
  if (spec.peer_mac)
    mnl_attr_put(request, IFLA_ADDRESS, spec.peer_mac->size(), spec.peer_mac->data());
  mnl_attr_nest_end(request, peer);
  mnl_attr_nest_end(request, data);
  mnl_attr_nest_end(request, info);
}

void AddIfb(NetlinkBatch& batch, absl::string_view name) {
  nlmsghdr* request = batch.Begin(RTM_NEWLINK, kCreate, "create link", name);
  PutLinkHeader(request);
  PutString(request, IFLA_IFNAME, name);
  mnl_attr_put_u32(request, IFLA_NUM_TX_QUEUES, 1);
  mnl_attr_put_u32(request, IFLA_NUM_RX_QUEUES, 1);
  nlattr* info = mnl_attr_nest_start(request, IFLA_LINKINFO);
  PutString(request, IFLA_INFO_KIND, "ifb");
  mnl_attr_nest_end(request, info);
}

void SetLink(NetlinkBatch& batch, absl::string_view name, const LinkChange& change) {
  nlmsghdr* request = batch.Begin(RTM_SETLINK, NLM_F_ACK, "set link", name);
  ifinfomsg* info = PutLinkHeader(request);
  if (change.up) {
    info->ifi_change = IFF_UP;
    info->ifi_flags = *change.up ? IFF_UP : 0;
  }
  PutString(request, IFLA_IFNAME, name);
  if (change.master != 0)
    mnl_attr_put_u32(request, IFLA_MASTER, static_cast<uint32_t>(change.master));
  if (change.mtu) mnl_attr_put_u32(request, IFLA_MTU, *change.mtu);
  if (change.group) mnl_attr_put_u32(request, IFLA_GROUP, *change.group);
  if (!change.alias.empty())
    PutString(request, IFLA_IFALIAS, absl::string_view(change.alias).substr(0, 255));
  if (change.no_ipv6_address) {
    nlattr* families = mnl_attr_nest_start(request, IFLA_AF_SPEC);
    nlattr* ipv6 = mnl_attr_nest_start(request, AF_INET6);
    mnl_attr_put_u8(request, IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE);
    mnl_attr_nest_end(request, ipv6);
    mnl_attr_nest_end(request, families);
  }
}

void SetBridgePort(NetlinkBatch& batch, int index, const BridgePortChange& change) {
  nlmsghdr* request =
      batch.Begin(RTM_SETLINK, NLM_F_ACK, "set bridge port", absl::StrCat("interface ", index));
  ifinfomsg* info = PutLinkHeader(request);
  info->ifi_family = AF_BRIDGE;
  info->ifi_index = index;
  nlattr* port = mnl_attr_nest_start(request, IFLA_PROTINFO);
  if (change.isolated) mnl_attr_put_u8(request, IFLA_BRPORT_ISOLATED, *change.isolated ? 1 : 0);
  if (change.hairpin) mnl_attr_put_u8(request, IFLA_BRPORT_MODE, *change.hairpin ? 1 : 0);
  mnl_attr_nest_end(request, port);
}

void DeleteLink(NetlinkBatch& batch, int index) {
  nlmsghdr* request = batch.Begin(RTM_DELLINK, NLM_F_ACK, "delete link", absl::StrCat(index));
  PutLinkHeader(request)->ifi_index = index;
}

void DeleteLinkGroup(NetlinkBatch& batch, uint32_t group) {
  nlmsghdr* request = batch.Begin(RTM_DELLINK, NLM_F_ACK, "delete link group", absl::StrCat(group));
  PutLinkHeader(request);
  mnl_attr_put_u32(request, IFLA_GROUP, group);
}

void AddAddress(NetlinkBatch& batch, int index, const IpPrefix& address) {
  nlmsghdr* request = batch.Begin(RTM_NEWADDR, kCreate, "add address", address.ToString());
  auto* info = static_cast<ifaddrmsg*>(mnl_nlmsg_put_extra_header(request, sizeof(ifaddrmsg)));
  info->ifa_family = address.address.family;
  info->ifa_prefixlen = address.length;
  info->ifa_index = index;
  if (address.address.family == AF_INET6) info->ifa_flags = IFA_F_NODAD;
  PutAddress(request, IFA_LOCAL, address.address);
  PutAddress(request, IFA_ADDRESS, address.address);
}

void AddDefaultRoute(NetlinkBatch& batch, int index, const IpAddress& gateway) {
  nlmsghdr* request = batch.Begin(RTM_NEWROUTE, kCreate, "add default route",
                                  absl::StrCat("via ", gateway.ToString()));
  auto* info = static_cast<rtmsg*>(mnl_nlmsg_put_extra_header(request, sizeof(rtmsg)));
  info->rtm_family = gateway.family;
  info->rtm_table = RT_TABLE_MAIN;
  info->rtm_protocol = RTPROT_STATIC;
  info->rtm_scope = RT_SCOPE_UNIVERSE;
  info->rtm_type = RTN_UNICAST;
  PutAddress(request, RTA_GATEWAY, gateway);
  mnl_attr_put_u32(request, RTA_OIF, index);
}

absl::StatusOr<Link> GetLink(NetlinkSocket& socket, absl::string_view name) {
  NetlinkBatch batch;
  nlmsghdr* request = batch.Begin(RTM_GETLINK, NLM_F_ACK, "get link", name);
  PutLinkHeader(request);
  PutString(request, IFLA_IFNAME, name);
  std::optional<Link> link;
  if (absl::Status status =
          socket.Query(std::move(batch), [&](const nlmsghdr& m) { link = ReadLink(m); });
      !status.ok()) {
    return status;
  }
  if (!link) return absl::InternalError(absl::StrCat("get link ", name, ": empty answer"));
  return *std::move(link);
}

absl::StatusOr<std::vector<Link>> ListLinks(NetlinkSocket& socket) {
  NetlinkBatch batch;
  PutLinkHeader(batch.Begin(RTM_GETLINK, NLM_F_DUMP, "list", "links"));
  return Dump<Link>(socket, batch, ReadLink);
}

absl::StatusOr<std::vector<LinkCounters>> ListLinkCounters(NetlinkSocket& socket) {
  NetlinkBatch request;
  auto* asked = static_cast<if_stats_msg*>(mnl_nlmsg_put_extra_header(
      request.Begin(RTM_GETSTATS, NLM_F_DUMP, "list", "counters of links"), sizeof(if_stats_msg)));
  asked->filter_mask = IFLA_STATS_FILTER_BIT(IFLA_STATS_LINK_64);
  ASSIGN_OR_RETURN(const std::vector<IndexedStats> all,
                   Dump<IndexedStats>(socket, request, ReadStats));
  std::vector<LinkCounters> counters;
  counters.reserve(all.size());
  for (const IndexedStats& one : all) {
    ifreq name = {};
    name.ifr_ifindex = one.index;
    if (::ioctl(socket.fd(), SIOCGIFNAME, &name) != 0) continue;  // deleted meanwhile
    counters.push_back({.name = name.ifr_name, .stats = one.stats});
  }
  return counters;
}

absl::StatusOr<std::vector<InterfaceAddress>> ListAddresses(NetlinkSocket& socket) {
  NetlinkBatch batch;
  mnl_nlmsg_put_extra_header(batch.Begin(RTM_GETADDR, NLM_F_DUMP, "list", "addresses"),
                             sizeof(ifaddrmsg));
  return Dump<InterfaceAddress>(socket, batch, ReadAddress);
}

absl::StatusOr<std::vector<Route>> ListRoutes(NetlinkSocket& socket) {
  NetlinkBatch batch;
  mnl_nlmsg_put_extra_header(batch.Begin(RTM_GETROUTE, NLM_F_DUMP, "list", "routes"),
                             sizeof(rtmsg));
  return Dump<Route>(socket, batch, ReadRoute);
}

}  // namespace berth
