// What a pod that does nothing costs the node beyond its own process, and what the daemon weighs.
#include <algorithm>

#include "absl/time/clock.h"
#include "hack/benchmarks/process_table.h"
#include "hack/benchmarks/scenario.h"
#include "src/base/status_macros.h"

namespace berth::bench {
namespace {

constexpr char kAppCommand[] = "sleep";
// What a daemon does not need any more it gives back later: berthd where a minute passed without
// work (SignalLoop), a Go program by its scavenger.
constexpr absl::Duration kRest = absl::Seconds(130);

// PSS of the runtime's own processes of these pods: monitors, shims, pause processes; not the app.
int64_t RuntimePssKib(const CgroupTree& cgroup, const Peer& peer) {
  int64_t sum = 0;
  for (const pid_t pid : WithMonitors(ProcessesIn(cgroup.pods()), peer.daemon())) {
    if (CommandOf(pid) != kAppCommand) sum += PssKib(pid);
  }
  return sum;
}

// Entries of the mount table that the daemon lives in: every one makes each new mount namespace
// dearer.
int64_t CountMounts(const Peer& peer) {
  const std::string table = ReadText(absl::StrCat("/proc/", peer.daemon(), "/mounts"));
  return std::count(table.begin(), table.end(), '\n');
}

void WeighDaemons(Bench& bench, const char* name) {
  for (const Peer& peer : bench.peers) {
    bench.report.Add({.name = name, .unit = "MiB", .pace = ""}, peer.name(),
                     static_cast<double>(RssKib(peer.daemon())) / 1024);
  }
}

absl::Status MeasurePeer(Bench& bench, const Peer& peer) {
  const int64_t mounts = CountMounts(peer);
  std::vector<ScopedPod> pods;
  for (int i = 0; i < bench.options.idle_pods; ++i) {
    ASSIGN_OR_RETURN(ScopedPod pod, ScopedPod::Run(peer, bench.PodFor(peer, Network::kHost)));
    pods.push_back(std::move(pod));
    RETURN_IF_ERROR(pods.back()
                        .CreateAndStart("app", bench.options.shell_image, {"/bin/sleep", "36000"})
                        .status());
  }
  bench.report.Add({.name = "mount-table entries per idle pod", .unit = "", .pace = ""},
                   peer.name(),
                   static_cast<double>(CountMounts(peer) - mounts) / bench.options.idle_pods);
  const auto cgroup = bench.cgroups.find(peer.name());
  if (cgroup == bench.cgroups.end()) return absl::OkStatus();
  bench.report.Add(
      {.name = "PSS of the runtime per idle pod", .unit = "KiB", .pace = ""}, peer.name(),
      static_cast<double>(RuntimePssKib(cgroup->second, peer)) / bench.options.idle_pods);
  return absl::OkStatus();
}

}  // namespace

absl::Status MeasureMemory(Bench& bench) {
  WeighDaemons(bench, "daemon RSS, nothing running, right after what came before");
  absl::SleepFor(kRest);
  WeighDaemons(bench, "daemon RSS, nothing running, after two minutes of rest");
  for (const Peer& peer : bench.peers) RETURN_IF_ERROR(MeasurePeer(bench, peer));
  return absl::OkStatus();
}

}  // namespace berth::bench
