// What one more pod costs a node that has more and more of them, and how slow a list may get when
// there are as many as a large node has. Of the first peer alone.
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
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

absl::Status GrowBlock(Bench& bench, const Peer& peer, int first, std::vector<ScopedPod>& pods) {
  const auto metric = [&](absl::string_view what, const char* unit) -> Metric {
    return {.name = absl::StrCat("pods ", first + 1, " to ", first + kBlock, ": ", what),
            .unit = unit,
            .pace = ""};
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
  std::vector<ScopedPod> pods;
  for (int first = 0; first < bench.options.grow_pods; first += kBlock)
    RETURN_IF_ERROR(GrowBlock(bench, peer, first, pods));
  return pods.empty() ? absl::OkStatus() : MeasureSlowest(bench, peer, pods.size());
}

}  // namespace berth::bench
