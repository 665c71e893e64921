// ExecSync of /bin/true in a running container: what every exec probe of a node costs. Beside it a
// call that does nothing: what any call costs a client and a server of gRPC.
#include <sys/resource.h>

#include "hack/benchmarks/scenario.h"
#include "src/base/status_macros.h"

namespace berth::bench {
namespace {

// A running container of each peer, and one of the floor.
struct Targets {
  std::map<std::string, ScopedPod> pods;
  std::map<std::string, std::string> containers;
  FloorContainer floor;
};

absl::StatusOr<Targets> Start(Bench& bench) {
  Targets targets;
  for (const Peer& peer : bench.peers) {
    ASSIGN_OR_RETURN(ScopedPod pod, ScopedPod::Run(peer, bench.PodFor(peer, Network::kHost)));
    ASSIGN_OR_RETURN(
        targets.containers[peer.name()],
        pod.CreateAndStart("exec", bench.options.shell_image, {"/bin/sleep", "36000"}));
    targets.pods.emplace(peer.name(), std::move(pod));
  }
  if (bench.floor != nullptr) {
    ASSIGN_OR_RETURN(targets.floor, bench.floor->Start());
  }
  return targets;
}

absl::Duration CpuTimeOf(int who) {
  rusage usage = {};
  ::getrusage(who, &usage);
  return absl::DurationFromTimeval(usage.ru_utime) + absl::DurationFromTimeval(usage.ru_stime);
}

// Forked, run and reaped by this thread.
absl::Status ExecOnFloor(const Bench& bench, const Targets& targets, absl::Duration* cpu) {
  const auto used = [] { return CpuTimeOf(RUSAGE_THREAD) + CpuTimeOf(RUSAGE_CHILDREN); };
  const absl::Duration before = used();
  RETURN_IF_ERROR(bench.floor->Exec(targets.floor));
  *cpu += used() - before;
  return absl::OkStatus();
}

absl::Status Execs(Bench& bench, const Targets& targets, const Pace& pace, int count,
                   absl::Duration* floor_cpu) {
  const Metric metric = {.name = "ExecSync /bin/true", .unit = "ms", .pace = pace.name};
  return InTurns(
      bench, count,
      [&](const Peer& peer, int) {
        Rest(bench, pace);
        return Timed(bench, metric, peer.name(), [&] {
          return peer.ExecSync(targets.containers.at(peer.name()), {"/bin/true"});
        });
      },
      [&](int) {
        Rest(bench, pace);
        return Timed(bench, metric, kFloor, [&] { return ExecOnFloor(bench, targets, floor_cpu); });
      });
}

absl::Status CallsInVain(Bench& bench, const Pace& pace, int count) {
  const Metric metric = {.name = "a call that does nothing", .unit = "ms", .pace = pace.name};
  return InTurns(
      bench, count,
      [&](const Peer& peer, int) {
        Rest(bench, pace);
        return Timed(bench, metric, peer.name(), [&] { return peer.Version(); }).status();
      },
      [](int) { return absl::OkStatus(); });
}

// CPU time of each peer that is in cgroups of its own: daemon, helpers and pods.
absl::StatusOr<std::map<std::string, absl::Duration>> CpuTimes(const Bench& bench) {
  std::map<std::string, absl::Duration> times;
  for (const Peer& peer : bench.peers) {
    const auto cgroup = bench.cgroups.find(peer.name());
    if (cgroup == bench.cgroups.end() || !cgroup->second.Holds(peer.daemon())) continue;
    ASSIGN_OR_RETURN(times[peer.name()], cgroup->second.CpuTime());
  }
  return times;
}

absl::Status AllRounds(Bench& bench, const Targets& targets) {
  const int rounds = 2 * bench.options.rounds;
  for (const Pace& pace : kPaces) {
    const auto add = [&](const std::string& name, absl::Duration cpu) {
      bench.report.Add({.name = "CPU of 1,000 ExecSync", .unit = "s", .pace = pace.name}, name,
                       absl::ToDoubleSeconds(cpu) * 1000 / rounds);
    };
    absl::Duration floor_cpu;
    ASSIGN_OR_RETURN(const auto before, CpuTimes(bench));
    RETURN_IF_ERROR(Execs(bench, targets, pace, rounds, &floor_cpu));
    ASSIGN_OR_RETURN(auto after, CpuTimes(bench));
    for (const auto& [peer, time] : before) add(peer, after[peer] - time);
    if (bench.floor != nullptr) add(kFloor, floor_cpu);
    RETURN_IF_ERROR(CallsInVain(bench, pace, rounds));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status MeasureExecSync(Bench& bench) {
  ASSIGN_OR_RETURN(Targets targets, Start(bench));
  const absl::Status measured = AllRounds(bench, targets);
  if (bench.floor == nullptr) return measured;
  const absl::Status removed = bench.floor->Remove(std::move(targets.floor));
  return measured.ok() ? removed : measured;
}

}  // namespace berth::bench
