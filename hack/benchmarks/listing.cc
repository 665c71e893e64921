// The lists that a kubelet asks for every second or ten, with many containers running.
#include "absl/strings/str_cat.h"
#include "hack/benchmarks/scenario.h"
#include "src/base/status_macros.h"

namespace berth::bench {
namespace {

constexpr int kContainersPerPod = 10;

struct List {
  const char* call;
  absl::StatusOr<int> (Peer::*count)() const;
  bool of_containers;
};
constexpr List kLists[] = {
    {"ListContainers", &Peer::CountContainers, true},
    {"ListPodSandbox", &Peer::CountPods, false},
    {"ListContainerStats", &Peer::CountContainerStats, true},
};

absl::Status Fill(const Bench& bench, const Peer& peer, std::vector<ScopedPod>& pods) {
  for (int made = 0; made < bench.options.containers; ++made) {
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

absl::Status AskOnce(Bench& bench, const Peer& peer, const List& list, int pods) {
  const Metric metric = {
      .name = absl::StrCat(list.call, ", ", bench.options.containers, " containers"),
      .unit = "ms",
      .pace = ""};
  ASSIGN_OR_RETURN(const int count,
                   Timed(bench, metric, peer.name(), [&] { return (peer.*list.count)(); }));
  const int expected = list.of_containers ? bench.options.containers : pods;
  if (count >= expected) return absl::OkStatus();
  return absl::InternalError(
      absl::StrCat(peer.name(), ": ", list.call, ": ", count, " entries, want ", expected));
}

}  // namespace

absl::Status MeasureListing(Bench& bench) {
  std::map<std::string, std::vector<ScopedPod>> pods;
  for (const Peer& peer : bench.peers) RETURN_IF_ERROR(Fill(bench, peer, pods[peer.name()]));
  for (int round = 0; round < 2 * bench.options.rounds; ++round) {
    for (const Peer* peer : bench.Order(round)) {
      for (const List& list : kLists) {
        RETURN_IF_ERROR(
            AskOnce(bench, *peer, list, static_cast<int>(pods.at(peer->name()).size())));
      }
    }
  }
  return absl::OkStatus();
}

}  // namespace berth::bench
