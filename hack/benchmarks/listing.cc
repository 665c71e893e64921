// The lists that a kubelet asks for every second or ten, with many containers running, and what
// Prometheus asks for.
#include <algorithm>
#include <set>

#include "absl/functional/function_ref.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "hack/benchmarks/process_table.h"
#include "hack/benchmarks/scenario.h"
#include "hack/benchmarks/scrape.h"
#include "hack/benchmarks/stats_sweep.h"
#include "src/base/status_macros.h"

namespace berth::bench {
namespace {

constexpr int kContainersPerPod = 10;
// Lists are measured with that many first; with more, in fewer rounds.
constexpr int kFewContainers = 100;
// Weighed as they come in life, so that what a runtime keeps for a moment is made anew.
// Ten seconds are what Berth's and containerd's own passes come once in.
constexpr int kWeighedCalls = 10;
constexpr absl::Duration kBetweenCalls = absl::Seconds(1);
constexpr int kWeighings = 3;
// Where one call costs less than what the runtime does by itself in a second, a call a second does
// not tell what it costs.
constexpr int kCallsInARow = 100;
constexpr int kScrapes = 50;

// Runs containers until `pods` have `containers` of them.
absl::Status Fill(const Bench& bench, const Peer& peer, int had, int containers,
                  std::vector<ScopedPod>& pods) {
  for (int made = had; made < containers; ++made) {
    if (made % kContainersPerPod == 0) {
      ASSIGN_OR_RETURN(ScopedPod pod, ScopedPod::Run(peer, bench.PodFor(peer, Network::kHost)));
      pods.push_back(std::move(pod));
    }
    RETURN_IF_ERROR(pods.back()
                        .CreateAndStart(absl::StrCat("app-", made), bench.options.app_image, {})
                        .status());
  }
  return absl::OkStatus();
}

// One of several lists, of a peer with so many containers in so many pods.
struct Asked {
  const List& list;
  const Peer& peer;
  int containers, pods;

  std::string Name() const { return absl::StrCat(list.call, ", ", containers, " containers"); }
};

std::string CpuName(const List& list, absl::string_view of, absl::string_view pace) {
  return absl::StrCat(list.call, ", ", of, ": CPU of the runtime, ", pace);
}
std::string CpuOfCallASecond(const List& list, absl::string_view of) {
  return CpuName(list, of, "a call a second");
}

absl::Status AskOnce(Bench& bench, const Asked& asked) {
  const Metric metric = {.name = asked.Name(), .unit = "ms", .pace = ""};
  ASSIGN_OR_RETURN(const int count, Timed(bench, metric, asked.peer.name(),
                                          [&] { return (asked.peer.*asked.list.count)(); }));
  const int expected = asked.list.of_containers ? asked.containers : asked.pods;
  if (count >= expected) return absl::OkStatus();
  return absl::InternalError(
      absl::StrCat(asked.peer.name(), ": ", asked.Name(), ": ", count, " entries"));
}

// CPU time of the daemon and all its helpers while `work` is done once a second. The pods'
// processes sleep.
template <typename Work>
absl::StatusOr<absl::Duration> CpuOfSeconds(const CgroupTree& cgroup, Work work) {
  ASSIGN_OR_RETURN(const absl::Duration before, cgroup.CpuTime());
  for (int second = 0; second < kWeighedCalls; ++second) {
    RETURN_IF_ERROR(work());
    absl::SleepFor(kBetweenCalls);
  }
  ASSIGN_OR_RETURN(const absl::Duration after, cgroup.CpuTime());
  return after - before;
}

// The same for one of `kCallsInARow`.
template <typename Work>
absl::StatusOr<absl::Duration> CpuOfOneInARow(const CgroupTree& cgroup, absl::Duration by_itself,
                                              Work work) {
  const absl::Time begin = absl::Now();
  ASSIGN_OR_RETURN(const absl::Duration before, cgroup.CpuTime());
  for (int call = 0; call < kCallsInARow; ++call) RETURN_IF_ERROR(work());
  ASSIGN_OR_RETURN(const absl::Duration after, cgroup.CpuTime());
  return (after - before - by_itself * absl::ToDoubleSeconds(absl::Now() - begin)) / kCallsInARow;
}

// Of the lists that `wanted` names. What a runtime does by itself in that time is not the calls'.
absl::Status WeighCalls(Bench& bench, const Peer& peer, const std::string& of,
                        absl::FunctionRef<bool(const List&)> wanted) {
  const auto cgroup = bench.cgroups.find(peer.name());
  if (cgroup == bench.cgroups.end() || !cgroup->second.Holds(peer.daemon()))
    return absl::OkStatus();
  const auto add = [&](const std::string& name, absl::Duration cpu) {
    bench.report.Add({.name = name, .unit = "ms", .pace = ""}, peer.name(),
                     absl::ToDoubleMilliseconds(cpu));
  };
  ASSIGN_OR_RETURN(absl::Duration by_itself,
                   CpuOfSeconds(cgroup->second, [] { return absl::OkStatus(); }));
  by_itself /= kWeighedCalls;
  add(absl::StrCat(of, ": CPU of the runtime, nobody asking, a second"), by_itself);
  for (const List& list : kLists) {
    if (!wanted(list)) continue;
    const auto ask = [&] { return (peer.*list.count)().status(); };
    if (!list.reads_counters) {
      ASSIGN_OR_RETURN(const absl::Duration of_one, CpuOfOneInARow(cgroup->second, by_itself, ask));
      add(CpuName(list, of, "one of a hundred calls"), of_one);
    }
    ASSIGN_OR_RETURN(const absl::Duration asked, CpuOfSeconds(cgroup->second, ask));
    add(CpuOfCallASecond(list, of),
        std::max(absl::ZeroDuration(), asked / kWeighedCalls - by_itself));
  }
  return absl::OkStatus();
}

// The kernel's part of ListContainerStats for the first peer's containers, as often.
absl::Status WeighSweeps(Bench& bench, const std::string& of) {
  const auto cgroup = bench.cgroups.find(bench.peers.front().name());
  if (bench.floor == nullptr || cgroup == bench.cgroups.end()) return absl::OkStatus();
  const StatsSweep sweep(cgroup->second.pods());
  if (sweep.files() == 0) return absl::OkStatus();
  for (int call = 0; call < kWeighedCalls; ++call) {
    ASSIGN_OR_RETURN(const absl::Duration taken, sweep.Read());
    bench.report.Add({.name = CpuOfCallASecond(kLists[2], of), .unit = "ms", .pace = ""}, kFloor,
                     absl::ToDoubleMilliseconds(taken));
    absl::SleepFor(kBetweenCalls);
  }
  return absl::OkStatus();
}

// Scrapes of the peer that has an endpoint for them, and what they leave in its memory.
absl::Status MeasureScrapes(Bench& bench, int containers) {
  if (bench.options.metrics_socket.empty()) return absl::OkStatus();
  const Peer& peer = bench.peers.front();
  const std::string name = absl::StrCat("scrape of /metrics, ", containers, " containers");
  RETURN_IF_ERROR(Scrape(bench.options.metrics_socket).status());  // what it keeps from now on
  int64_t before = 0;
  for (int i = 0; i < 2 * kScrapes; ++i) {
    if (i == kScrapes) before = RssKib(peer.daemon());  // by now it has what one of them needs
    ASSIGN_OR_RETURN(const size_t bytes,
                     Timed(bench, {.name = name, .unit = "ms", .pace = ""}, peer.name(),
                           [&] { return Scrape(bench.options.metrics_socket); }));
    bench.report.Add({.name = name + ": size", .unit = "KiB", .pace = ""}, peer.name(),
                     static_cast<double>(bytes) / 1024);
  }
  bench.report.Add({.name = absl::StrCat(name, ": memory grown by ", kScrapes, " more of them"),
                    .unit = "KiB",
                    .pace = ""},
                   peer.name(), static_cast<double>(RssKib(peer.daemon()) - before));
  return absl::OkStatus();
}

absl::Status MeasureLists(Bench& bench, int containers,
                          const std::map<std::string, std::vector<ScopedPod>>& pods) {
  const int rounds =
      std::max(2, 2 * bench.options.rounds * kFewContainers / std::max(containers, kFewContainers));
  for (int round = 0; round < rounds; ++round) {
    for (const Peer* peer : bench.Order(round)) {
      for (const List& list : kLists) {
        const Asked asked = {.list = list,
                             .peer = *peer,
                             .containers = containers,
                             .pods = static_cast<int>(pods.at(peer->name()).size())};
        RETURN_IF_ERROR(AskOnce(bench, asked));
      }
    }
  }
  const std::string of = absl::StrCat(containers, " containers");
  for (int weighing = 0; weighing < kWeighings; ++weighing) {
    for (const Peer* peer : bench.Order(weighing)) {
      // Of many containers the counters of the first peer alone: others take up to half a minute
      // for a call.
      RETURN_IF_ERROR(WeighCalls(bench, *peer, of, [&](const List& list) {
        return !list.reads_counters || containers <= kFewContainers || peer == &bench.peers.front();
      }));
    }
  }
  RETURN_IF_ERROR(WeighSweeps(bench, of));
  return MeasureScrapes(bench, containers);
}

// Pods without containers, of one peer after the other: the shims of a thousand take gigabytes.
absl::Status MeasurePodList(Bench& bench) {
  const List& list = kLists[1];
  const std::string of = absl::StrCat(bench.options.list_pods, " pods");
  for (const Peer& peer : bench.peers) {
    std::vector<ScopedPod> pods;
    while (pods.size() < static_cast<size_t>(bench.options.list_pods)) {
      ASSIGN_OR_RETURN(ScopedPod pod, ScopedPod::Run(peer, bench.PodFor(peer, Network::kHost)));
      pods.push_back(std::move(pod));
    }
    for (int round = 0; round < bench.options.rounds; ++round) {
      ASSIGN_OR_RETURN(
          const int count,
          Timed(bench, {.name = absl::StrCat(list.call, ", ", of), .unit = "ms", .pace = ""},
                peer.name(), [&] { return (peer.*list.count)(); }));
      if (static_cast<size_t>(count) < pods.size())
        return absl::InternalError(absl::StrCat(peer.name(), ": ", of, ": ", count, " entries"));
    }
    for (int weighing = 0; weighing < kWeighings; ++weighing) {
      RETURN_IF_ERROR(
          WeighCalls(bench, peer, of, [&](const List& each) { return &each == &list; }));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status MeasureListing(Bench& bench) {
  std::map<std::string, std::vector<ScopedPod>> pods;
  int had = 0;
  for (const int containers : std::set<int>{std::min(kFewContainers, bench.options.containers),
                                            bench.options.containers}) {
    for (const Peer& peer : bench.peers)
      RETURN_IF_ERROR(Fill(bench, peer, had, containers, pods[peer.name()]));
    RETURN_IF_ERROR(MeasureLists(bench, containers, pods));
    had = containers;
  }
  pods.clear();
  return MeasurePodList(bench);
}

}  // namespace berth::bench
