// Pod networks made by CNI plugins. What they are to give is in the database before the first one
// runs, and stays there until they have taken it back: a failed removal is tried again, with longer
// and longer pauses, by this daemon and those after it. The configuration is followed as it
// changes; what is already attached keeps the one that it was made with. Thread-safe.
//
// clang-format off
//   Attach --> kAdding --plugins--> kAdded --Detach--> kRemoving --plugins--> no row
//                 |                                      ^   |
//                 +--- a plugin failed, berthd died -----+   +--- failed: again after a pause
// clang-format on
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "src/base/log.h"
#include "src/sandbox/network/cni_result.h"
#include "src/sandbox/network/network.h"
#include "src/store/database.h"

namespace berth {

class CniNetwork : public Network {
 public:
  struct Options {
    std::string conf_dir = "/etc/cni/net.d";  // made if it is not there; "": attaches no pods
    std::vector<std::string> bin_dirs = {"/opt/cni/bin", "/usr/lib/cni", "/usr/libexec/cni"};
    std::string netns_dir = "/run/netns";
    std::string default_network;        // name; "" for the first in the directory
    std::string conf_template;          // file; "" for none, see SetPodCidrs
    std::string cgroup = "/berth-cni";  // of plugins; this daemon's alone
    size_t pool_size = 0;               // empty network namespaces that are kept ready
    absl::Duration plugin_timeout = absl::Seconds(60);
    absl::Duration stop_patience = absl::Minutes(5);  // Detach reports failures for so long
    absl::Duration first_pause = absl::Seconds(1), longest_pause = absl::Minutes(5);
    AddressPreference preference = AddressPreference::kIpv4;
    const Log* log = nullptr;  // may be null
  };
  // Ends what plugins of an earlier daemon are still at, and loads what they were to give.
  static absl::StatusOr<std::unique_ptr<CniNetwork>> Open(Options options, Database& database);

  // Begin and Attach: Unavailable while the network is not ready; Attach otherwise the plugin's own
  // words. Detach runs the plugins; after stop_patience, and where a plugin is missing, it says OK
  // and leaves the rest to the background. Before Reconcile it leaves all to the background.

  // Whether the pod is on record here.
  virtual bool Has(absl::string_view pod_id) const = 0;

  // Somebody has put a configuration into the directory, good or bad.
  virtual bool HasConfig() const = 0;

  // SetPodCidrs writes the subnets into a copy of the template in the directory, unless a
  // configuration is there already. InvalidArgument: no subnets, or a template that makes no good
  // configuration of them.

  struct Counts {
    int64_t attached = 0;           // pods on such a network
    int64_t pending_deletions = 0;  // of pods that are gone
    int64_t ready = 0;              // namespaces that wait for a pod
    int64_t adds = 0, failed_adds = 0, deletions = 0, failed_deletions = 0, failed_checks = 0;
  };
  virtual Counts counts() const = 0;
};

// A CNI configuration from its template: {{.PodCIDR}} is the first subnet, {{.PodCIDRRanges}} the
// ranges of host-local, {{.Routes}} default routes for the families. InvalidArgument. Pure.
absl::StatusOr<std::string> RenderCniTemplate(const std::string& text,
                                              const std::vector<std::string>& cidrs);

}  // namespace berth
