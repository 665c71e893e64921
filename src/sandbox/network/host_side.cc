#include "src/sandbox/network/host_side.h"

#include <linux/netlink.h>

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "src/base/status_macros.h"
#include "src/sandbox/network/forwarding.h"
#include "src/sandbox/network/pod_link.h"
#include "src/sandbox/network/report_filter.h"
#include "src/sandbox/network/traffic_limits.h"

namespace berth {
namespace {

constexpr char kLinkPrefix[] = "bth";
constexpr size_t kLinkIdChars = 12;

bool IsHostLinkName(absl::string_view name) {
  const absl::string_view id = absl::StripPrefix(name, kLinkPrefix);
  return id.size() == kLinkIdChars && id.size() != name.size() &&
         std::all_of(id.begin(), id.end(), [](unsigned char c) {
           return absl::ascii_isdigit(c) || (c >= 'a' && c <= 'f');
         });
}

}  // namespace

std::string HostLinkName(absl::string_view pod_id) {
  return absl::StrCat(kLinkPrefix, pod_id.substr(0, kLinkIdChars));
}

absl::StatusOr<HostSide> HostSide::Open(Options options, const HostPorts& ports) {
  ASSIGN_OR_RETURN(NetlinkSocket route, NetlinkSocket::Open(NETLINK_ROUTE));
  ASSIGN_OR_RETURN(NetlinkSocket nft, NetlinkSocket::Open(NETLINK_NETFILTER));
  return HostSide(std::move(options), ports, std::move(route), std::move(nft));
}

absl::Status HostSide::Prepare() {
  if (!ready_) {
    ASSIGN_OR_RETURN(ready_,
                     EnsureBridge(route_, options_.table.bridge, options_.gateways, options_.mtu));
    RETURN_IF_ERROR(FilterReports());
  }
  return PrepareTable();
}

absl::Status HostSide::FilterReports() {
  const absl::Status filtered = ReplaceReportFilter(nft_, options_.table.bridge, kLinkPrefix);
  return absl::IsUnimplemented(filtered) ? absl::OkStatus() : filtered;
}

// The table is looked at each time: firewall services flush all tables when they reload.
absl::Status HostSide::PrepareTable() {
  if (!has_nat_) return absl::OkStatus();
  const absl::Status ensured = EnsureNatTable(nft_, options_.table, ports_->Published());
  // Without it pods could reach each other all the same.
  if (!absl::IsUnimplemented(ensured) || options_.table.isolated) return ensured;
  // A kernel without nf_tables' inet family: pods reach each other and the node, not the outside.
  has_nat_ = false;
  if (options_.log != nullptr)
    options_.log->Warning("no masquerade: pods do not reach the outside",
                          {{"error", ensured.message()}});
  return absl::OkStatus();
}

absl::Status HostSide::AddLink(absl::string_view pod_id, const IpAddress& ipv4, int netns_fd) {
  RETURN_IF_ERROR(Prepare());
  absl::Status status = MakeVeth(pod_id, ipv4, netns_fd);
  if (status.ok() || HasBridge()) return status;
  ready_.reset();  // somebody removed the bridge
  RETURN_IF_ERROR(Prepare());
  return MakeVeth(pod_id, ipv4, netns_fd);
}

bool HostSide::HasBridge() {
  const auto bridge = GetLink(route_, options_.table.bridge);
  return bridge.ok() && bridge->index == ready_->index;
}

absl::Status HostSide::MakeVeth(absl::string_view pod_id, const IpAddress& ipv4, int netns_fd) {
  const std::string name = HostLinkName(pod_id);
  NetlinkBatch batch;
  AddVeth(batch, {.name = name,
                  .master = ready_->index,
                  .mtu = ready_->mtu,
                  .peer_name = kPodInterface,
                  .peer_netns_fd = netns_fd,
                  .peer_mac = MacFor(ipv4)});
  SetLink(batch, name, {.alias = absl::StrCat("berth pod ", pod_id), .no_ipv6_address = true});
  RETURN_IF_ERROR(route_.Run(std::move(batch)));
  return Isolate(name);
}

absl::Status HostSide::Isolate(const std::string& link_name) {
  if (!options_.table.isolated) return absl::OkStatus();
  ASSIGN_OR_RETURN(const Link link, GetLink(route_, link_name));
  NetlinkBatch batch;
  SetBridgePort(batch, link.index, {.isolated = true});
  return route_.Run(std::move(batch));
}

absl::Status HostSide::SetLinkUp(absl::string_view pod_id) {
  RETURN_IF_ERROR(Prepare());
  const std::string name = HostLinkName(pod_id);
  const auto run = [&](const LinkChange& change) {
    NetlinkBatch batch;
    SetLink(batch, name, change);
    return route_.Run(std::move(batch));
  };
  const absl::Status up = run({.up = true, .master = ready_->index});
  if (up.ok() || HasBridge()) return up;
  // Somebody removed the bridge after the link was made.
  ready_.reset();
  RETURN_IF_ERROR(Prepare());
  RETURN_IF_ERROR(run({.master = ready_->index}));
  RETURN_IF_ERROR(Isolate(name));
  return run({.up = true});
}

absl::Status HostSide::Limit(absl::string_view pod_id, const PodBandwidth& limits) {
  if (limits.ingress_bits == 0 && limits.egress_bits == 0) return absl::OkStatus();
  ASSIGN_OR_RETURN(const Link link, GetLink(route_, HostLinkName(pod_id)));
  return LimitBandwidth(route_, pod_id, link, limits);
}

absl::Status HostSide::AddHostPorts(absl::string_view pod_id,
                                    const std::vector<PublishedPort>& ports) {
  if (ports.empty()) return absl::OkStatus();
  if (!has_nat_)
    return absl::FailedPreconditionError("publish host ports: the kernel has no nf_tables NAT");
  // Where bridged packets are shown to the packet filter, what a pod sends to a host port of its
  // own never leaves the bridge, but goes out by the port that it came in by.
  ASSIGN_OR_RETURN(const Link link, GetLink(route_, HostLinkName(pod_id)));
  NetlinkBatch batch;
  SetBridgePort(batch, link.index, {.hairpin = true});
  RETURN_IF_ERROR(route_.Run(std::move(batch)));
  // The table may have been made just now, and then has them.
  RETURN_IF_ERROR(AddPorts(nft_, options_.table, ports));
  return SetLoopbackRouting();
}

absl::Status HostSide::DeleteHostPorts(const std::vector<PublishedPort>& ports) {
  if (ports.empty() || !has_nat_) return absl::OkStatus();
  absl::Status deleted = DeletePorts(nft_, options_.table, ports);
  // Somebody removed some, or all: what is published now is what shall be there.
  if (!deleted.ok()) deleted = MendTable();
  deleted.Update(SetLoopbackRouting());
  return deleted;
}

absl::Status HostSide::SetLoopbackRouting() {
  return SetRouteLocalnet(options_.table.bridge, ports_->AnyOnLoopback());
}

absl::Status HostSide::MendTable() {
  if (!ready_) return absl::OkStatus();
  RETURN_IF_ERROR(FilterReports());
  if (!has_nat_) return absl::OkStatus();
  return ReplaceNatTable(nft_, options_.table, ports_->Published());
}

absl::Status HostSide::Adopt() {
  const auto bridge = GetLink(route_, options_.table.bridge);
  // Ports of pods that died meanwhile may be in it.
  if (absl::IsNotFound(bridge.status())) {
    RETURN_IF_ERROR(RemoveReportFilter(nft_, options_.table.bridge));
    return RemoveNatTable(nft_, options_.table.bridge);
  }
  RETURN_IF_ERROR(Prepare());
  RETURN_IF_ERROR(MendTable());
  RETURN_IF_ERROR(SetLoopbackRouting());
  ASSIGN_OR_RETURN(const std::vector<std::string> names, PodLinks());
  for (const std::string& name : names) {
    const auto link = GetLink(route_, name);
    if (!link.ok()) continue;  // gone meanwhile
    NetlinkBatch batch;
    SetBridgePort(batch, link->index, {.isolated = options_.table.isolated});
    const absl::Status set = route_.Run(std::move(batch));
    if (!set.ok() && !absl::IsNotFound(set)) return set;
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> HostSide::PodLinks() {
  ASSIGN_OR_RETURN(const std::vector<Link> links, ListLinks(route_));
  const auto bridge = std::find_if(links.begin(), links.end(), [&](const Link& link) {
    return link.name == options_.table.bridge;
  });
  std::vector<std::string> names;
  if (bridge == links.end()) return names;
  for (const Link& link : links) {
    if (link.master == bridge->index && IsHostLinkName(link.name)) names.push_back(link.name);
  }
  return names;
}

absl::Status HostSide::Remove() {
  ready_.reset();
  RETURN_IF_ERROR(RemoveBridge(route_, options_.table.bridge));
  RETURN_IF_ERROR(RemoveReportFilter(nft_, options_.table.bridge));
  if (!has_nat_) return absl::OkStatus();
  return RemoveNatTable(nft_, options_.table.bridge);
}

}  // namespace berth
