// A network namespace for a pod whose monitor does not run yet.
#pragma once

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "src/base/unique_fd.h"
#include "src/kernel/pod_network_settings.h"

namespace berth {

struct MadeNamespace {
  UniqueFd netns;
  UniqueFd netlink;  // a NETLINK_ROUTE socket inside
};

// With a `lo` that is down, and with `settings`, but for those that this kernel does not have. No
// thread ever leaves its own namespace: a child that shares this process's memory is started in the
// new one (Vfork), for as long as it takes to open both. It belongs to the caller's user namespace.
absl::StatusOr<MadeNamespace> MakeNetworkNamespace(absl::Span<const NetworkSetting> settings);

}  // namespace berth
