// What one more pod costs a node that has more and more of them, and how slow a list may get when
// there are as many as a large node has. Of the first peer alone.
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "hack/benchmarks/floor.h"
#include "hack/benchmarks/process_table.h"
#include "hack/benchmarks/samples.h"
#include "hack/benchmarks/scenario.h"
#include "src/base/status_macros.h"

namespace berth::bench {
namespace {

constexpr int kBlock = 50;  // pods whose cost is told together
constexpr int kCallsForSlowest = 1000;

absl::StatusOr<int64_t> RuntimePssKib(const Bench& bench, const Peer& peer) {
  const auto cgroup = bench.cgroups.find(peer.name());
  if (cgroup == bench.cgroups.end()) return absl::NotFoundError("no cgroup to find monitors in");
  int64_t sum = PssKib(peer.daemon());
  for (const pid_t pid : WithMonitors(ProcessesIn(cgroup->second.pods()), peer.daemon())) {
    if (CommandOf(pid) != "pause") sum += PssKib(pid);
  }
  return sum;
}

Metric OfBlock(int first, absl::string_view what, const char* unit) {
  return {.name = absl::StrCat("pods ", first + 1, " to ", first + kBlock, ": ", what),
          .unit = unit,
          .pace = ""};
}

absl::Status GrowBlock(Bench& bench, const Peer& peer, int first, std::vector<ScopedPod>& pods) {
  const auto metric = [&](absl::string_view what, const char* unit) {
    return OfBlock(first, what, unit);
  };
  const absl::StatusOr<int64_t> memory = RuntimePssKib(bench, peer);
  const auto cgroup = bench.cgroups.find(peer.name());
  const bool counted = cgroup != bench.cgroups.end() && cgroup->second.Holds(peer.daemon());
  absl::Duration before;
  if (counted) {
    ASSIGN_OR_RETURN(before, cgroup->second.CpuTime());
  }
  for (int i = 0; i < kBlock; ++i) {
    const absl::Time begin = absl::Now();
    ASSIGN_OR_RETURN(ScopedPod pod, ScopedPod::Run(peer, bench.PodFor(peer, Network::kPod)));
    RETURN_IF_ERROR(pod.CreateAndStart("app", bench.options.app_image, {}).status());
    bench.report.Add(metric("up", "ms"), peer.name(),
                     absl::ToDoubleMilliseconds(absl::Now() - begin));
    pods.push_back(std::move(pod));
  }
  if (counted) {
    ASSIGN_OR_RETURN(const absl::Duration after, cgroup->second.CpuTime());
    bench.report.Add(metric("CPU of one", "ms"), peer.name(),
                     absl::ToDoubleMilliseconds(after - before) / kBlock);
  }
  if (!memory.ok()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const int64_t grown, RuntimePssKib(bench, peer));
  bench.report.Add(metric("memory of one", "KiB"), peer.name(),
                   static_cast<double>(grown - *memory) / kBlock);
  return absl::OkStatus();
}

// What of the curve is the kernel's own: as many pods and containers without a network and a
// runtime.
absl::Status GrowFloor(Bench& bench) {
  std::vector<FloorContainer> started;
  absl::Status status;
  for (int i = 0; i < bench.options.grow_pods && status.ok(); ++i) {
    const absl::Time begin = absl::Now();
    for (const auto start : {&Floor::StartPod, &Floor::Start}) {
      absl::StatusOr<FloorContainer> one = (bench.floor->*start)();
      status.Update(one.status());
      if (one.ok()) started.push_back(*std::move(one));
    }
    bench.report.Add(OfBlock(i / kBlock * kBlock, "up", "ms"), kFloor,
                     absl::ToDoubleMilliseconds(absl::Now() - begin));
  }
  for (FloorContainer& one : started) status.Update(bench.floor->Remove(std::move(one)));
  return status;
}

absl::Status MeasureSlowest(Bench& bench, const Peer& peer, size_t pods) {
  for (const List& list : kLists) {
    Samples samples;
    for (int call = 0; call < kCallsForSlowest; ++call) {
      const absl::Time begin = absl::Now();
      RETURN_IF_ERROR((peer.*list.count)().status());
      samples.Add(absl::ToDoubleMilliseconds(absl::Now() - begin));
    }
    bench.report.Add(
        {.name = absl::StrCat(list.call, ", ", pods, " pods: p99"), .unit = "ms", .pace = ""},
        peer.name(), samples.Quantile(0.99));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status MeasureGrowth(Bench& bench) {
  const Peer& peer = bench.peers.front();
  if (bench.floor != nullptr) RETURN_IF_ERROR(GrowFloor(bench));
  std::vector<ScopedPod> pods;
  for (int first = 0; first < bench.options.grow_pods; first += kBlock)
    RETURN_IF_ERROR(GrowBlock(bench, peer, first, pods));
  return pods.empty() ? absl::OkStatus() : MeasureSlowest(bench, peer, pods.size());
}

}  // namespace berth::bench
