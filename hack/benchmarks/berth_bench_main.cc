// berth-bench: measures any number of CRI runtimes side by side, in turns. hack/bench starts it.
#include <sys/utsname.h>

#include <algorithm>
#include <fstream>
#include <iostream>
#include <optional>
#include <thread>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "hack/benchmarks/process_table.h"
#include "hack/benchmarks/scenario.h"
#include "src/base/status_macros.h"

namespace berth::bench {
namespace {

struct Arguments {
  Options options;
  std::vector<std::string> peers, network_peers;
  std::vector<std::string> only;
  std::string cgroup;
  std::string floor_root;
  std::string floor_scratch;
  std::string json;
};

absl::StatusOr<std::vector<Peer>> ConnectAll(const std::vector<std::string>& specs) {
  std::vector<Peer> peers;
  for (const std::string& spec : specs) {
    ASSIGN_OR_RETURN(Peer peer, Peer::Connect(spec));
    peers.push_back(std::move(peer));
  }
  return peers;
}

absl::Status PrepareCgroup(Bench& bench, const Peer& peer, const std::string& cgroup) {
  if (cgroup.empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(CgroupTree tree, CgroupTree::Create(absl::StrCat(cgroup, "/", peer.name())));
  bench.cgroups.emplace(peer.name(), std::move(tree));
  return absl::OkStatus();
}

absl::Status Prepare(Bench& bench, const std::string& cgroup) {
  for (const Peer& peer : bench.peers) {
    RETURN_IF_ERROR(RemoveLeftovers(peer));
    for (const std::string& image : {bench.options.app_image, bench.options.shell_image}) {
      RETURN_IF_ERROR(peer.PullImage(image));
    }
    RETURN_IF_ERROR(PrepareCgroup(bench, peer, cgroup));
  }
  for (const Peer& peer : bench.network_peers) {
    RETURN_IF_ERROR(RemoveLeftovers(peer));
    RETURN_IF_ERROR(PrepareCgroup(bench, peer, cgroup));
  }
  return absl::OkStatus();
}

bool Wanted(const std::vector<std::string>& only, const std::string& name) {
  return only.empty() || std::find(only.begin(), only.end(), name) != only.end();
}

// A scenario that fails for one peer is reported and does not keep the others from being run.
void RunScenarios(Bench& bench, const std::vector<std::string>& only) {
  for (const Scenario& scenario : kScenarios) {
    if (!Wanted(only, scenario.name)) continue;
    std::cerr << "measuring " << scenario.name << " ...\n";
    if (const absl::Status status = scenario.run(bench); !status.ok()) {
      bench.report.AddFailure(absl::StrCat(scenario.name, ": ", status.ToString()));
    }
    for (const Peer& peer : bench.peers) {
      if (const absl::Status status = RemoveLeftovers(peer); !status.ok()) {
        bench.report.AddFailure(absl::StrCat(scenario.name, ": clean up: ", status.ToString()));
      }
    }
  }
}

nlohmann::json DescribeMachine() {
  utsname name = {};
  ::uname(&name);
  return {{"kernel", name.release},
          {"architecture", name.machine},
          {"cpus", std::thread::hardware_concurrency()},
          {"load", ReadText("/proc/loadavg")},
          {"time", absl::FormatTime(absl::Now(), absl::UTCTimeZone())}};
}

nlohmann::json DescribePeers(const std::vector<Peer>& peers) {
  nlohmann::json described = nlohmann::json::array();
  for (const Peer& peer : peers) {
    const absl::StatusOr<PeerVersion> version = peer.Version();
    described.push_back({{"name", peer.name()},
                         {"socket", peer.socket()},
                         {"runtime", version.ok() ? version->runtime_name : ""},
                         {"version", version.ok() ? version->runtime_version : ""}});
  }
  return described;
}

absl::StatusOr<bool> Run(const Arguments& arguments) {
  ASSIGN_OR_RETURN(const std::vector<Peer> peers, ConnectAll(arguments.peers));
  ASSIGN_OR_RETURN(const std::vector<Peer> network_peers, ConnectAll(arguments.network_peers));
  std::vector<std::string> names;
  for (const Peer& peer : peers) names.push_back(peer.name());
  for (const Peer& peer : network_peers) names.push_back(peer.name());
  const bool with_floor = !arguments.floor_root.empty() && !arguments.cgroup.empty();
  const Options& options = arguments.options;
  if (with_floor || !options.pull_floor.empty()) names.push_back(kFloor);
  if (options.skopeo) names.push_back(kSkopeo);
  if (!options.cni_plugins.empty()) names.push_back(kCniChain);
  if (!options.conmon_root.empty()) names.push_back(kConmon);
  Report report(names);
  const nlohmann::json machine = DescribeMachine();
  Bench bench = {.options = arguments.options,
                 .peers = peers,
                 .network_peers = network_peers,
                 .cgroups = {},
                 .report = report};
  RETURN_IF_ERROR(Prepare(bench, arguments.cgroup));
  std::optional<Floor> floor;
  if (with_floor) {
    ASSIGN_OR_RETURN(CgroupTree tree,
                     CgroupTree::Create(absl::StrCat(arguments.cgroup, "/", kFloor)));
    const std::string parent = tree.pods();
    bench.cgroups.emplace(kFloor, std::move(tree));
    ASSIGN_OR_RETURN(floor, Floor::Create({.root = arguments.floor_root,
                                           .scratch = arguments.floor_scratch,
                                           .cgroup = parent}));
    bench.floor = &*floor;
  }
  RunScenarios(bench, arguments.only);
  std::cout << report.Table() << std::flush;
  if (!arguments.json.empty()) {
    nlohmann::json document = report.Json();
    document["machine"] = machine;
    document["peers"] = DescribePeers(peers);
    std::ofstream file(arguments.json);
    file << document.dump(1) << std::endl;
    if (!file) return absl::InternalError(absl::StrCat("write ", arguments.json, ": failed"));
  }
  return report.failures().empty();
}

void AddOptions(CLI::App& app, Arguments& arguments) {
  Options& options = arguments.options;
  app.add_option("--peer", arguments.peers, "NAME=unix:///PATH, repeated; ratios are of the first")
      ->required();
  app.add_option("--network-peer", arguments.network_peers,
                 "the same for the scenario `network` alone: a runtime that runs the plugins");
  app.add_option("--only", arguments.only,
                 "only these: memory cycle start exec list throughput network pull log grow");
  app.option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  app.add_option("--rounds", options.rounds, "repetitions of a pod cycle")->capture_default_str();
  app.add_option("--turn", options.turn, "operations of a peer in a row")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--containers", options.containers, "containers to list")->capture_default_str();
  app.add_option("--list-pods", options.list_pods, "pods to list")->capture_default_str();
  app.add_option("--grow-pods", options.grow_pods,
                 "pods of the first peer, one after the other; 0 for none")
      ->capture_default_str();
  app.add_option("--idle-pods", options.idle_pods, "pods to weigh")->capture_default_str();
  app.add_option("--throughput-pods", options.throughput_pods, "pods in all")
      ->capture_default_str();
  app.add_option("--concurrency", options.concurrency, "pods at a time")->capture_default_str();
  app.add_option("--pulls", options.pulls, "pulls of the big image")->capture_default_str();
  app.add_option("--app-image", options.app_image, "its own command waits")->required();
  app.add_option("--shell-image", options.shell_image, "has /bin/sleep and /bin/true")->required();
  app.add_option("--big-image", options.big_image, "image to measure a pull with");
  app.add_option("--huge-image", options.huge_image, "image with a layer of 1 GiB");
  app.add_option("--pull-floor", options.pull_floor, "path of berth-pull-floor");
  app.add_option("--pull-scratch", options.pull_scratch,
                 "an existing folder for what pulls of commands write");
  app.add_option("--cni", options.cni_plugins, "folder of CNI plugins to measure beside");
  app.add_option("--cni-scratch", options.cni_scratch, "an existing folder for what they keep");
  app.add_option("--metrics-socket", options.metrics_socket,
                 "unix socket on which the first peer serves /metrics");
  app.add_flag("--skopeo", options.skopeo, "skopeo copy and umoci unpack beside the pulls");
  app.add_option("--conmon-root", options.conmon_root,
                 "root file system with busybox, for logs by conmon beside");
  app.add_option("--log-dir", options.log_directory, "an existing folder for container logs")
      ->required();
  app.add_option("--cgroup", arguments.cgroup,
                 "pods go to cgroup/NAME/pods; needed for memory and CPU");
  app.add_option("--floor-root", arguments.floor_root, "root file system for the kernel's floor");
  app.add_option("--floor-scratch", arguments.floor_scratch, "an existing folder for its layers");
  app.add_option("--json", arguments.json, "write all samples to this file");
}

}  // namespace
}  // namespace berth::bench

int main(int argc, char** argv) {
  CLI::App app("Measures CRI runtimes side by side");
  berth::bench::Arguments arguments;
  berth::bench::AddOptions(app, arguments);
  CLI11_PARSE(app, argc, argv);
  const absl::StatusOr<bool> passed = berth::bench::Run(arguments);
  if (!passed.ok()) {
    std::cerr << "berth-bench: " << passed.status().message() << "\n";
    return 2;
  }
  return *passed ? 0 : 1;
}
