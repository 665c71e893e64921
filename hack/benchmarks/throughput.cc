// Pods per second and CPU per pod when several are wanted at once, as after a node's restart.
#include <algorithm>
#include <memory>

#include "absl/time/clock.h"
#include "hack/benchmarks/parallel.h"
#include "hack/benchmarks/scenario.h"
#include "src/base/status_macros.h"

namespace berth::bench {
namespace {

// What a runtime leaves to be done after its pods is not to be the next one's expense.
constexpr absl::Duration kSettle = absl::Seconds(1);

// Brings all pods up with `up(i)`, `concurrency` at a time, and takes them down with `down(i)`.
template <typename Up, typename Down>
absl::Status UpAndDown(Bench& bench, const std::string& name, Up up, Down down) {
  const int count = bench.options.throughput_pods, concurrency = bench.options.concurrency;
  const std::string pace = absl::StrCat(concurrency, " at a time");
  const absl::Time begin = absl::Now();
  const auto add_rate = [&](const char* metric) {
    bench.report.Add({.name = metric, .unit = "/s", .pace = pace}, name,
                     count / absl::ToDoubleSeconds(absl::Now() - begin));
  };
  RETURN_IF_ERROR(InParallel(count, concurrency, up));
  add_rate("pods up per second, pod network");
  RETURN_IF_ERROR(InParallel(count, concurrency, down));
  add_rate("pods up and removed per second");
  return absl::OkStatus();
}

absl::Status PodsUpAndDown(Bench& bench, const Peer& peer) {
  std::vector<std::unique_ptr<ScopedPod>> pods(bench.options.throughput_pods);
  return UpAndDown(
      bench, peer.name(),
      [&](int i) -> absl::Status {
        ASSIGN_OR_RETURN(ScopedPod pod, ScopedPod::Run(peer, bench.PodFor(peer, Network::kPod)));
        pods[i] = std::make_unique<ScopedPod>(std::move(pod));
        return pods[i]->CreateAndStart("app", bench.options.app_image, {}).status();
      },
      [&](int i) { return pods[i]->Remove(); });
}

// The network of its pods is an empty namespace.
absl::Status FloorUpAndDown(Bench& bench) {
  const int count = bench.options.throughput_pods;
  std::vector<FloorContainer> pods(count), containers(count);
  return UpAndDown(
      bench, kFloor,
      [&](int i) -> absl::Status {
        ASSIGN_OR_RETURN(pods[i], bench.floor->StartPodWithoutNetwork());
        ASSIGN_OR_RETURN(containers[i], bench.floor->Start());
        return absl::OkStatus();
      },
      [&](int i) -> absl::Status {
        RETURN_IF_ERROR(bench.floor->Remove(std::move(containers[i])));
        return bench.floor->Remove(std::move(pods[i]));
      });
}

}  // namespace

absl::Status MeasureThroughput(Bench& bench) {
  const int rounds = std::max(2, bench.options.rounds / 10);
  for (int round = 0; round < rounds; ++round) {
    for (const Peer* peer : bench.Order(round)) {
      const auto cgroup = bench.cgroups.find(peer->name());
      const bool counted = cgroup != bench.cgroups.end() && cgroup->second.Holds(peer->daemon());
      absl::Duration before;
      if (counted) {
        ASSIGN_OR_RETURN(before, cgroup->second.CpuTime());
      }
      absl::SleepFor(kSettle);
      RETURN_IF_ERROR(PodsUpAndDown(bench, *peer));
      if (!counted) continue;
      ASSIGN_OR_RETURN(const absl::Duration after, cgroup->second.CpuTime());
      bench.report.Add({.name = "CPU per pod up and removed", .unit = "ms", .pace = ""},
                       peer->name(),
                       absl::ToDoubleMilliseconds(after - before) / bench.options.throughput_pods);
    }
    if (bench.floor == nullptr) continue;
    absl::SleepFor(kSettle);
    RETURN_IF_ERROR(FloorUpAndDown(bench));
  }
  return absl::OkStatus();
}

}  // namespace berth::bench
