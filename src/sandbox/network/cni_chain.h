// The commands of CNI on all plugins of a network, one after the other. Blocks for as long as they
// take.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "src/sandbox/network/cni_attachment.h"
#include "src/sandbox/network/cni_plugins.h"
#include "src/sandbox/network/cni_result.h"

namespace berth {

inline constexpr char kCniHasStatus[] = "1.1.0";  // and GC

// ADD in the list's order, each with the result of the one before. What had been added when one
// failed is left to DEL. `meanwhile` is called while the first one runs.
absl::StatusOr<CniResult> CniAdd(CniPlugins& plugins, const CniAttachment& attachment,
                                 std::function<void()> meanwhile);

// DEL in the reverse order, every plugin, whatever became of the others; the first error is
// returned. A container that a plugin does not know, and a namespace that is gone, are no errors.
absl::Status CniDel(CniPlugins& plugins, const CniAttachment& attachment);

// OK where the network's version has no CHECK, or it is switched off.
absl::Status CniCheck(CniPlugins& plugins, const CniAttachment& attachment);

// STATUS and GC go to the plugins that know them (1.1.0); OK where none does. Once the network is
// `outdated` they end.
absl::Status CniStatus(CniPlugins& plugins, const CniNetworkList& network,
                       const std::function<bool()>& outdated);
// `pod_ids`: all attachments to this network that are not known to be gone.
absl::Status CniGc(CniPlugins& plugins, const CniNetworkList& network,
                   const std::vector<std::string>& pod_ids, const std::function<bool()>& outdated);

}  // namespace berth
