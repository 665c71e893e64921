// Counters of the interfaces of pods. A pod's namespace is asked only when the host's end of its
// link has counted something since: one look at all links of the node tells it of all pods. What
// does not pass by that link (lo, links that the pod made) is told as it was at most kIdle ago.
// Not thread-safe; one owner at a time.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "src/base/steady_time.h"
#include "src/sandbox/network/pod_link.h"

namespace berth {

class PodTraffic {
 public:
  // Asks a pod's namespace (ReadInterfaceCounters).
  using Reader =
      std::function<absl::StatusOr<std::vector<InterfaceCounters>>(absl::string_view pod_id)>;
  explicit PodTraffic(Reader read) : read_(std::move(read)) {}

  // In the network namespace of the calling thread. Before a round of Read.
  void Look(absl::Time now = SteadyNow());
  // As of the last look or later; errors are the reader's.
  absl::StatusOr<std::vector<InterfaceCounters>> Read(const std::string& pod_id);
  void Forget(const std::string& pod_id) { pods_.erase(pod_id); }

  static constexpr absl::Duration kIdle = absl::Seconds(10);

 private:
  struct Known {
    InterfaceCounters host;  // of its end, before the pod's were read
    std::vector<InterfaceCounters> pod;
    absl::Time read_at;
  };

  const Reader read_;
  absl::Time looked_at_;
  absl::flat_hash_map<std::string, InterfaceCounters> host_;  // by the link's name
  absl::flat_hash_map<std::string, Known> pods_;              // by id
};

}  // namespace berth
