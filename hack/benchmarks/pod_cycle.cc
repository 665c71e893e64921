// The whole life of a pod with one container, each of its seven calls timed.
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "hack/benchmarks/scenario.h"
#include "src/base/status_macros.h"

namespace berth::bench {
namespace {

// Without grace: a process that has only just been exec'ed may not have its signal handler yet, and
// as process 1 it would miss the signal and sit out the time.
constexpr int kGraceSeconds = 0;

struct Series {
  Network network;
  const char* name;
  const Pace* pace;
};

Metric PhaseOf(const Series& series, absl::string_view phase) {
  return {.name = absl::StrCat("pod cycle, ", series.name, ": ", phase),
          .unit = "ms",
          .pace = series.pace->name};
}

// Of a cycle that began at `begin` and rested `rests` times.
void AddTotal(Bench& bench, const Series& series, const std::string& name, absl::Time begin,
              int rests) {
  const absl::Duration rested =
      series.pace->idle ? rests * bench.options.idle : absl::ZeroDuration();
  bench.report.Add(PhaseOf(series, "total"), name,
                   absl::ToDoubleMilliseconds(absl::Now() - begin - rested));
}

// Counted metrics are added even when a call in the middle fails: the pod is then removed by the
// caller's clean-up (RemoveLeftovers).
absl::Status RunCycle(Bench& bench, const Peer& peer, const Series& series) {
  const PodOptions options = bench.PodFor(peer, series.network);
  const runtime::v1::PodSandboxConfig pod_config = PodConfig(options);
  const runtime::v1::ContainerConfig config =
      ContainerConfig("app", bench.options.app_image, {}, series.network);
  const auto phase = [&](absl::string_view name, auto call) {
    Rest(bench, *series.pace);
    return Timed(bench, PhaseOf(series, name), peer.name(), call);
  };
  ASSIGN_OR_RETURN(const std::string pod,
                   phase("RunPodSandbox", [&] { return peer.RunPod(pod_config); }));
  ASSIGN_OR_RETURN(const std::string container, phase("CreateContainer", [&] {
                     return peer.CreateContainer(pod, config, pod_config);
                   }));
  RETURN_IF_ERROR(phase("StartContainer", [&] { return peer.StartContainer(container); }));
  RETURN_IF_ERROR(
      phase("StopContainer", [&] { return peer.StopContainer(container, kGraceSeconds); }));
  RETURN_IF_ERROR(phase("RemoveContainer", [&] { return peer.RemoveContainer(container); }));
  RETURN_IF_ERROR(phase("StopPodSandbox", [&] { return peer.StopPod(pod); }));
  return phase("RemovePodSandbox", [&] { return peer.RemovePod(pod); });
}

// Of the pod's network there is an empty namespace.
absl::Status RunFloorCycle(Bench& bench, const Series& series) {
  if (bench.floor == nullptr) return absl::OkStatus();
  const Floor& floor = *bench.floor;
  const absl::Time begin = absl::Now();
  Rest(bench, *series.pace);
  ASSIGN_OR_RETURN(FloorContainer pod, Timed(bench, PhaseOf(series, "RunPodSandbox"), kFloor, [&] {
                     return series.network == Network::kHost ? floor.StartPod()
                                                             : floor.StartPodWithoutNetwork();
                   }));
  Rest(bench, *series.pace);
  ASSIGN_OR_RETURN(FloorContainer container, floor.Start());
  Rest(bench, *series.pace);
  RETURN_IF_ERROR(floor.Remove(std::move(container)));
  Rest(bench, *series.pace);
  RETURN_IF_ERROR(floor.Remove(std::move(pod)));
  AddTotal(bench, series, kFloor, begin, 4);
  return absl::OkStatus();
}

}  // namespace

absl::Status MeasurePodCycle(Bench& bench) {
  for (const auto& [network, name] :
       {std::pair(Network::kHost, "host network"), std::pair(Network::kPod, "pod network")}) {
    for (const Pace& pace : kPaces) {
      const Series series = {.network = network, .name = name, .pace = &pace};
      for (int round = 0; round < bench.options.rounds; ++round) {
        for (const Peer* peer : bench.Order(round)) {
          const absl::Time begin = absl::Now();
          RETURN_IF_ERROR(RunCycle(bench, *peer, series));
          AddTotal(bench, series, peer->name(), begin, 7);
        }
        RETURN_IF_ERROR(RunFloorCycle(bench, series));
      }
    }
  }
  return absl::OkStatus();
}

}  // namespace berth::bench
