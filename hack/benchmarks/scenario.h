// What every scenario is given, and the list of them. A scenario measures all peers in turns, so
// that what else happens on the machine meets each of them alike.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "hack/benchmarks/cgroup_tree.h"
#include "hack/benchmarks/floor.h"
#include "hack/benchmarks/peer.h"
#include "hack/benchmarks/pod.h"
#include "hack/benchmarks/report.h"

namespace berth::bench {

struct Options {
  int rounds = 20;           // repetitions of a pod cycle; exec and start take twice as many
  int containers = 100;      // listed, a hundred of them first
  int list_pods = 100;       // listed, without containers
  int grow_pods = 500;       // of the first peer, one after the other
  int idle_pods = 10;        // whose memory is measured
  int throughput_pods = 40;  // in all, `concurrency` at a time
  int concurrency = 10;
  int pulls = 3;
  int turn = 10;  // operations of a peer in a row
  absl::Duration idle = absl::Milliseconds(50);
  std::string app_image;    // its own command waits
  std::string shell_image;  // has /bin/sleep and /bin/true
  std::string big_image;    // pulled; empty: no pull is measured
  std::string
      huge_image;  // has a layer of 1 GiB; empty: the worker's memory for it is not measured
  std::string pull_floor;    // path of berth-pull-floor; empty: no floor of a pull
  std::string pull_scratch;  // an existing folder for what pulls of commands write
  bool skopeo = false;       // skopeo and umoci as a peer of pulls
  std::string conmon_root;   // root file system with busybox, for conmon as a peer of logs
  std::string log_directory;
  std::string cni_plugins;     // folder of the CNI plugins to measure beside; empty: none
  std::string cni_scratch;     // an existing folder for what they keep
  std::string metrics_socket;  // of the first peer; empty: no scrape is measured
};

struct Bench {
  const Options& options;
  const std::vector<Peer>& peers;
  const std::vector<Peer>& network_peers;     // measured by the scenario `network` alone
  std::map<std::string, CgroupTree> cgroups;  // by peer name; empty when none were asked for
  Report& report;
  Floor* floor = nullptr;  // measured beside the peers where there is one

  PodOptions PodFor(const Peer& peer, Network network) const;
  // Peers in the order of a round: each is first as often as any other.
  std::vector<const Peer*> Order(int round) const;
};

// How the operations of one series follow each other.
struct Pace {
  const char* name;
  bool idle;
};
inline constexpr Pace kPaces[] = {{"back to back", false}, {"50 ms idle", true}};

// Waits when the pace says so.
void Rest(const Bench& bench, const Pace& pace);

// Does each operation `count` times, in turns of `Options::turn` of one peer after the other, and
// of the floor where there is one. A turn begins after a rest: what the one before left to be done
// (a shim's end, a collection of garbage) is not done at the next one's expense.
absl::Status InTurns(const Bench& bench, int count,
                     absl::FunctionRef<absl::Status(const Peer&, int)> of_peer,
                     absl::FunctionRef<absl::Status(int)> of_floor);

inline constexpr char kFloor[] = "floor";  // its column of the report
inline constexpr char kCniChain[] = "bridge+portmap";
inline constexpr char kSkopeo[] = "skopeo+umoci";
inline constexpr char kConmon[] = "conmon";

// Runs `work` and adds its time in milliseconds to the column `name` when it succeeded.
template <typename Work>
auto Timed(Bench& bench, const Metric& metric, const std::string& name, Work work) {
  const absl::Time begin = absl::Now();
  auto result = work();
  if (result.ok()) bench.report.Add(metric, name, absl::ToDoubleMilliseconds(absl::Now() - begin));
  return result;
}

// What a kubelet lists, and how many entries there were.
struct List {
  const char* call;
  absl::StatusOr<int> (Peer::*count)() const;
  bool of_containers;
  bool reads_counters;  // of cgroups, at each call or once for a while
};
inline constexpr List kLists[] = {
    {"ListContainers", &Peer::CountContainers, true, false},
    {"ListPodSandbox", &Peer::CountPods, false, false},
    {"ListContainerStats", &Peer::CountContainerStats, true, true},
    {"ListPodSandboxStats", &Peer::CountPodStats, false, true},
};

absl::Status MeasurePodCycle(Bench& bench);
absl::Status MeasureContainerStart(Bench& bench);
absl::Status MeasureExecSync(Bench& bench);
absl::Status MeasureListing(Bench& bench);
absl::Status MeasureMemory(Bench& bench);
absl::Status MeasureThroughput(Bench& bench);
absl::Status MeasureNetwork(Bench& bench);
absl::Status MeasurePull(Bench& bench);
absl::Status MeasureLogThroughput(Bench& bench);
absl::Status MeasureGrowth(Bench& bench);

struct Scenario {
  const char* name;
  absl::Status (*run)(Bench&);
};
// Memory first: it wants daemons that have done nothing yet.
inline constexpr Scenario kScenarios[] = {
    {"memory", MeasureMemory},   {"cycle", MeasurePodCycle}, {"start", MeasureContainerStart},
    {"exec", MeasureExecSync},   {"list", MeasureListing},   {"throughput", MeasureThroughput},
    {"network", MeasureNetwork}, {"pull", MeasurePull},      {"log", MeasureLogThroughput},
    {"grow", MeasureGrowth},
};

}  // namespace berth::bench
