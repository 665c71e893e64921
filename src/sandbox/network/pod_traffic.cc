#include "src/sandbox/network/pod_traffic.h"

#include <linux/netlink.h>

#include <utility>

#include "src/kernel/netlink.h"
#include "src/sandbox/network/host_side.h"

namespace berth {

void PodTraffic::Look(absl::Time now) {
  looked_at_ = now;
  host_.clear();
  absl::StatusOr<NetlinkSocket> node = NetlinkSocket::Open(NETLINK_ROUTE);
  if (!node.ok()) return;  // every pod is asked
  absl::StatusOr<std::vector<InterfaceCounters>> links = ListInterfaceCounters(*node);
  if (!links.ok()) return;
  for (InterfaceCounters& link : *links) {
    std::string name = link.name;
    host_.emplace(std::move(name), std::move(link));
  }
}

absl::StatusOr<std::vector<InterfaceCounters>> PodTraffic::Read(const std::string& pod_id) {
  const auto host = host_.find(HostLinkName(pod_id));
  if (host == host_.end()) return read_(pod_id);
  const auto known = pods_.find(pod_id);
  if (known != pods_.end() && known->second.host == host->second &&
      looked_at_ - known->second.read_at < kIdle)
    return known->second.pod;
  absl::StatusOr<std::vector<InterfaceCounters>> read = read_(pod_id);
  if (read.ok()) pods_[pod_id] = {.host = host->second, .pod = *read, .read_at = looked_at_};
  return read;
}

}  // namespace berth
