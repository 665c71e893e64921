#include "hack/benchmarks/scenario.h"

#include <algorithm>

#include "absl/time/clock.h"
#include "src/base/status_macros.h"

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

absl::Status InTurns(const Bench& bench, int count,
                     absl::FunctionRef<absl::Status(const Peer&, int)> of_peer,
                     absl::FunctionRef<absl::Status(int)> of_floor) {
  const int turn = bench.options.turn;
  for (int first = 0; first < count; first += turn) {
    const auto take = [&](absl::FunctionRef<absl::Status(int)> operation) -> absl::Status {
      absl::SleepFor(bench.options.idle);
      for (int i = first; i < std::min(first + turn, count); ++i) RETURN_IF_ERROR(operation(i));
      return absl::OkStatus();
    };
    for (const Peer* peer : bench.Order(first / turn)) {
      RETURN_IF_ERROR(take([&](int i) { return of_peer(*peer, i); }));
    }
    if (bench.floor != nullptr) RETURN_IF_ERROR(take(of_floor));
  }
  return absl::OkStatus();
}

}  // namespace berth::bench
