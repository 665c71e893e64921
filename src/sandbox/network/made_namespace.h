// A network namespace for a pod whose monitor does not run yet.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "src/base/unique_fd.h"

namespace berth {

struct MadeNamespace {
  UniqueFd netns;
  UniqueFd netlink;  // a NETLINK_ROUTE socket inside
};

// With a `lo` that is down, and with `settings`: path below /proc/sys and value, in turns. A
// process makes it (`monitor_path`, berth-monitor --network-namespace), so that no thread of berthd
// ever leaves its own. It belongs to the node's user namespace.
absl::StatusOr<MadeNamespace> MakeNetworkNamespace(const std::string& monitor_path,
                                                   const std::vector<std::string>& settings);

}  // namespace berth
