#include "src/sandbox/network/pod_link.h"

#include <net/if.h>
#include <sys/ioctl.h>

#include <cstring>
#include <utility>

#include "src/base/status_macros.h"
#include "src/kernel/rtnetlink.h"

namespace berth {
namespace {

InterfaceCounters CountersOf(const LinkCounters& link) {
  return {.name = link.name,
          .rx_bytes = link.stats.rx_bytes,
          .rx_packets = link.stats.rx_packets,
          .rx_errors = link.stats.rx_errors,
          .rx_dropped = link.stats.rx_dropped,
          .tx_bytes = link.stats.tx_bytes,
          .tx_packets = link.stats.tx_packets,
          .tx_errors = link.stats.tx_errors,
          .tx_dropped = link.stats.tx_dropped};
}

// Read without the kernel's lock of all links, which the end of another pod may hold for long.
bool IsLoopbackUp(int netlink_fd) {
  ifreq request = {};
  std::memcpy(request.ifr_name, "lo", sizeof("lo"));
  return ::ioctl(netlink_fd, SIOCGIFFLAGS, &request) == 0 && (request.ifr_flags & IFF_UP) != 0;
}

void AddFamily(NetlinkBatch& batch, int index, const IpPrefix& address, const IpPrefix& gateway) {
  AddAddress(batch, index, address);
  AddDefaultRoute(batch, index, gateway.address);
}

}  // namespace

absl::StatusOr<std::vector<IpPrefix>> ConfigurePodLink(int netlink_fd,
                                                       const std::vector<IpPrefix>& addresses,
                                                       const std::vector<IpPrefix>& gateways) {
  ASSIGN_OR_RETURN(NetlinkSocket pod, NetlinkSocket::Wrap(netlink_fd));
  ASSIGN_OR_RETURN(const Link link, GetLink(pod, kPodInterface));
  NetlinkBatch ipv4;
  SetLink(ipv4, "lo", {.up = true});
  SetLink(ipv4, kPodInterface, {.up = true});
  AddFamily(ipv4, link.index, addresses[0], gateways[0]);
  RETURN_IF_ERROR(pod.Run(std::move(ipv4)));
  if (addresses.size() < 2) return addresses;

  NetlinkBatch ipv6;
  AddFamily(ipv6, link.index, addresses[1], gateways[1]);
  const absl::Status status = pod.Run(std::move(ipv6));
  // EACCES: net.ipv6.conf.*.disable_ipv6 is set in the pod.
  if (absl::IsPermissionDenied(status)) return std::vector<IpPrefix>{addresses[0]};
  if (!status.ok()) return status;
  return addresses;
}

absl::Status SetLoopbackUp(int netlink_fd) {
  if (IsLoopbackUp(netlink_fd)) return absl::OkStatus();
  ASSIGN_OR_RETURN(NetlinkSocket pod, NetlinkSocket::Wrap(netlink_fd));
  NetlinkBatch batch;
  SetLink(batch, "lo", {.up = true});
  return pod.Run(std::move(batch));
}

absl::StatusOr<std::vector<InterfaceCounters>> ListInterfaceCounters(NetlinkSocket& socket) {
  ASSIGN_OR_RETURN(const std::vector<LinkCounters> links, ListLinkCounters(socket));
  std::vector<InterfaceCounters> counters;
  counters.reserve(links.size());
  for (const LinkCounters& link : links) counters.push_back(CountersOf(link));
  return counters;
}

absl::StatusOr<std::vector<InterfaceCounters>> ReadInterfaceCounters(int netlink_fd) {
  ASSIGN_OR_RETURN(NetlinkSocket pod, NetlinkSocket::Wrap(netlink_fd));
  return ListInterfaceCounters(pod);
}

}  // namespace berth
