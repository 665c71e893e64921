// The node's minimal mount namespace, which monitors join and containers' namespaces are copied
// from: it holds the data directory and nothing of the host, so its copy costs the same on every
// node.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "src/base/unique_fd.h"

namespace berth {

// `monitor` is the sealed berth-monitor, which makes the namespace (berth-monitor
// --node-namespace).
absl::StatusOr<UniqueFd> MakeNodeMountNamespace(int monitor, const std::string& data_dir);

}  // namespace berth
