#include "hack/benchmarks/scenario.h"

#include "absl/time/clock.h"

namespace berth::bench {

PodOptions Bench::PodFor(const Peer& peer, Network network) const {
  const auto cgroup = cgroups.find(peer.name());
  return {.network = network,
          .cgroup_parent = cgroup == cgroups.end() ? "" : cgroup->second.pods(),
          .log_directory = options.log_directory};
}

std::vector<const Peer*> Bench::Order(int round) const {
  std::vector<const Peer*> order;
  for (size_t i = 0; i < peers.size(); ++i) {
    order.push_back(&peers[(i + static_cast<size_t>(round)) % peers.size()]);
  }
  return order;
}

void Rest(const Bench& bench, const Pace& pace) {
  if (pace.idle) absl::SleepFor(bench.options.idle);
}

}  // namespace berth::bench
