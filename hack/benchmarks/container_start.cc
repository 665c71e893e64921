// Create and start of one more container in a pod that already runs.
#include "hack/benchmarks/scenario.h"
#include "src/base/status_macros.h"

namespace berth::bench {
namespace {

Metric MetricOf(const Pace& pace) {
  return {.name = "create + start in a running pod", .unit = "ms", .pace = pace.name};
}

absl::Status StartOne(Bench& bench, const Peer& peer, const ScopedPod& pod, int number,
                      const Pace& pace) {
  const std::string name = absl::StrCat("app-", pace.idle ? "idle-" : "", number);
  Rest(bench, pace);
  ASSIGN_OR_RETURN(const std::string container, Timed(bench, MetricOf(pace), peer.name(), [&] {
                     return pod.CreateAndStart(name, bench.options.app_image, {});
                   }));
  RETURN_IF_ERROR(peer.StopContainer(container, 0));
  return peer.RemoveContainer(container);
}

absl::Status StartFloor(Bench& bench, const Pace& pace) {
  Rest(bench, pace);
  ASSIGN_OR_RETURN(FloorContainer container,
                   Timed(bench, MetricOf(pace), kFloor, [&] { return bench.floor->Start(); }));
  return bench.floor->Remove(std::move(container));
}

}  // namespace

absl::Status MeasureContainerStart(Bench& bench) {
  std::map<std::string, ScopedPod> pods;
  for (const Peer& peer : bench.peers) {
    ASSIGN_OR_RETURN(ScopedPod pod, ScopedPod::Run(peer, bench.PodFor(peer, Network::kHost)));
    pods.emplace(peer.name(), std::move(pod));
  }
  for (const Pace& pace : kPaces) {
    RETURN_IF_ERROR(InTurns(
        bench, 2 * bench.options.rounds,
        [&](const Peer& peer, int i) {
          return StartOne(bench, peer, pods.at(peer.name()), i, pace);
        },
        [&](int) { return StartFloor(bench, pace); }));
  }
  return absl::OkStatus();
}

}  // namespace berth::bench
