#include "src/sandbox/pod_network.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_replace.h"

namespace berth {

// Settings that an interface takes over when it is made must be there before it; those of eth0 need
// it. Namespaces made in advance belong to the node's user namespace.
bool MayBeMadeInAdvance(const PodConfig& config) {
  const PodSpec& spec = config.namespaces;
  if (spec.network != NamespaceMode::kPod || !spec.user.IsNode()) return false;
  return std::none_of(spec.sysctls.begin(), spec.sysctls.end(), [](const auto& sysctl) {
    const std::string name = absl::StrReplaceAll(sysctl.first, {{"/", "."}});
    const bool of_interfaces =
        absl::StrContains(name, ".conf.") || absl::StrContains(name, ".neigh.");
    return of_interfaces && !absl::StrContains(name, ".eth0.");
  });
}

}  // namespace berth
