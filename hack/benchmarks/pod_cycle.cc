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

// Rests as the series does, and adds to `total` what `work` then takes.
template <typename Work>
auto Spend(const Bench& bench, const Series& series, absl::Duration& total, Work work) {
  Rest(bench, *series.pace);
  const absl::Time begin = absl::Now();
  auto result = work();
  total += absl::Now() - begin;
  return result;
}

void AddTotal(Bench& bench, const Series& series, const std::string& name, absl::Duration total) {
  bench.report.Add(PhaseOf(series, "total"), name, absl::ToDoubleMilliseconds(total));
}

// Counted metrics are added even when a call in the middle fails: the pod is then removed by the
// caller's clean-up (RemoveLeftovers).
absl::Status RunCycle(Bench& bench, const Peer& peer, const Series& series) {
  const PodOptions options = bench.PodFor(peer, series.network);
  const runtime::v1::PodSandboxConfig pod_config = PodConfig(options);
  const runtime::v1::ContainerConfig config =
      ContainerConfig("app", bench.options.app_image, {}, series.network);
  absl::Duration total;
  const auto phase = [&](absl::string_view name, auto call) {
    return Spend(bench, series, total,
                 [&] { return Timed(bench, PhaseOf(series, name), peer.name(), call); });
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
  RETURN_IF_ERROR(phase("RemovePodSandbox", [&] { return peer.RemovePod(pod); }));
  AddTotal(bench, series, peer.name(), total);
  return absl::OkStatus();
}

// Of the pod's network there is an empty namespace.
absl::Status RunFloorCycle(Bench& bench, const Series& series) {
  const Floor& floor = *bench.floor;
  absl::Duration total;
  const auto spend = [&](auto work) { return Spend(bench, series, total, work); };
  ASSIGN_OR_RETURN(FloorContainer pod, spend([&] {
                     return Timed(bench, PhaseOf(series, "RunPodSandbox"), kFloor, [&] {
                       return series.network == Network::kHost ? floor.StartPod()
                                                               : floor.StartPodWithoutNetwork();
                     });
                   }));
  ASSIGN_OR_RETURN(FloorContainer container, spend([&] { return floor.Start(); }));
  RETURN_IF_ERROR(spend([&] { return floor.Remove(std::move(container)); }));
  RETURN_IF_ERROR(spend([&] { return floor.Remove(std::move(pod)); }));
  AddTotal(bench, series, kFloor, total);
  return absl::OkStatus();
}

}  // namespace

absl::Status MeasurePodCycle(Bench& bench) {
  for (const auto& [network, name] :
       {std::pair(Network::kHost, "host network"), std::pair(Network::kPod, "pod network")}) {
    for (const Pace& pace : kPaces) {
      const Series series = {.network = network, .name = name, .pace = &pace};
      RETURN_IF_ERROR(InTurns(
          bench, bench.options.rounds,
          [&](const Peer& peer, int) { return RunCycle(bench, peer, series); },
          [&](int) { return RunFloorCycle(bench, series); }));
    }
  }
  return absl::OkStatus();
}

}  // namespace berth::bench
