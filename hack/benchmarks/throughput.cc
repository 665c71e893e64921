// Pods per second and CPU per pod when several are wanted at once, as after a node's restart.
#include <memory>

#include "absl/time/clock.h"
#include "hack/benchmarks/parallel.h"
#include "hack/benchmarks/scenario.h"
#include "src/base/status_macros.h"

namespace berth::bench {
namespace {

absl::Status UpAndDown(Bench& bench, const Peer& peer) {
  const int count = bench.options.throughput_pods;
  const auto rate = [&](absl::Time begin) {
    return count / absl::ToDoubleSeconds(absl::Now() - begin);
  };
  std::vector<std::unique_ptr<ScopedPod>> pods(count);
  const absl::Time begin = absl::Now();
  RETURN_IF_ERROR(InParallel(count, bench.options.concurrency, [&](int i) -> absl::Status {
    ASSIGN_OR_RETURN(ScopedPod pod, ScopedPod::Run(peer, bench.PodFor(peer, Network::kPod)));
    pods[i] = std::make_unique<ScopedPod>(std::move(pod));
    return pods[i]->CreateAndStart("app", bench.options.app_image, {}).status();
  }));
  bench.report.Add({.name = "pods up per second, pod network",
                    .unit = "/s",
                    .pace = absl::StrCat(bench.options.concurrency, " at a time")},
                   peer.name(), rate(begin));
  RETURN_IF_ERROR(
      InParallel(count, bench.options.concurrency, [&](int i) { return pods[i]->Remove(); }));
  bench.report.Add({.name = "pods up and removed per second",
                    .unit = "/s",
                    .pace = absl::StrCat(bench.options.concurrency, " at a time")},
                   peer.name(), rate(begin));
  return absl::OkStatus();
}

}  // namespace

absl::Status MeasureThroughput(Bench& bench) {
  for (int round = 0; round < 2; ++round) {
    for (const Peer* peer : bench.Order(round)) {
      const auto cgroup = bench.cgroups.find(peer->name());
      const bool counted = cgroup != bench.cgroups.end() && cgroup->second.Holds(peer->daemon());
      absl::Duration before;
      if (counted) {
        ASSIGN_OR_RETURN(before, cgroup->second.CpuTime());
      }
      RETURN_IF_ERROR(UpAndDown(bench, *peer));
      if (!counted) continue;
      ASSIGN_OR_RETURN(const absl::Duration after, cgroup->second.CpuTime());
      bench.report.Add({.name = "CPU per pod up and removed", .unit = "ms", .pace = ""},
                       peer->name(),
                       absl::ToDoubleMilliseconds(after - before) / bench.options.throughput_pods);
    }
  }
  return absl::OkStatus();
}

}  // namespace berth::bench
