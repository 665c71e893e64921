// The network's part of RunPodSandbox: what a pod with a network of its own takes beyond one with
// the node's, beside exec'ing CNI plugins, alone and with a host port; and what a runtime that runs
// those plugins takes beyond them.
#include <algorithm>
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "hack/benchmarks/cni_chain.h"
#include "hack/benchmarks/parallel.h"
#include "hack/benchmarks/scenario.h"
#include "src/base/status_macros.h"

namespace berth::bench {
namespace {

constexpr int kFirstHostPort = 30000;

struct Kind {
  const char* name;
  bool host_port;
};
constexpr Kind kKinds[] = {{"plain", false}, {"with a host port", true}};

runtime::v1::PodSandboxConfig ConfigOf(const Bench& bench, const Peer& peer, Network network,
                                       int host_port) {
  runtime::v1::PodSandboxConfig config = PodConfig(bench.PodFor(peer, network));
  if (host_port == 0) return config;
  runtime::v1::PortMapping* port = config.add_port_mappings();
  port->set_host_port(host_port);
  port->set_container_port(80);
  return config;
}

// A difference of noise is no time.
double Above(double whole, double part) { return std::max(whole - part, 0.001); }

absl::StatusOr<double> TimeRunPod(const Peer& peer, const runtime::v1::PodSandboxConfig& config) {
  const absl::Time begin = absl::Now();
  ASSIGN_OR_RETURN(const std::string id, peer.RunPod(config));
  const double time = absl::ToDoubleMilliseconds(absl::Now() - begin);
  RETURN_IF_ERROR(peer.StopPod(id));
  RETURN_IF_ERROR(peer.RemovePod(id));
  return time;
}

absl::StatusOr<double> MeasurePeer(Bench& bench, const Peer& peer, const Metric& metric,
                                   const Pace& pace, int host_port) {
  Rest(bench, pace);
  ASSIGN_OR_RETURN(const double host,
                   TimeRunPod(peer, ConfigOf(bench, peer, Network::kHost, /*host_port=*/0)));
  Rest(bench, pace);
  ASSIGN_OR_RETURN(const double pod,
                   TimeRunPod(peer, ConfigOf(bench, peer, Network::kPod, host_port)));
  const double time = Above(pod, host);
  bench.report.Add(metric, peer.name(), time);
  return time;
}

absl::StatusOr<double> MeasureChain(Bench& bench, const CniChain& chain, const Metric& metric,
                                    const Pace& pace, int host_port) {
  ASSIGN_OR_RETURN(CniChain::Attachment attachment, NewAttachment(host_port));
  Rest(bench, pace);
  const absl::Time begin = absl::Now();
  RETURN_IF_ERROR(chain.Add(attachment));
  const double time = absl::ToDoubleMilliseconds(absl::Now() - begin);
  bench.report.Add(metric, kCniChain, time);
  RETURN_IF_ERROR(chain.Delete(attachment));
  return time;
}

// The plugins alone, and those that run them, right after each other.
absl::Status MeasureWithPlugins(Bench& bench, const CniChain& chain, const Metric& metric,
                                const Pace& pace, int host_port) {
  if (chain.plugins.empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const double plugins, MeasureChain(bench, chain, metric, pace, host_port));
  const Metric beyond = {
      .name = absl::StrCat(metric.name, ", beyond the plugins"), .unit = "ms", .pace = pace.name};
  for (const Peer& peer : bench.network_peers) {
    ASSIGN_OR_RETURN(const double whole, MeasurePeer(bench, peer, metric, pace, host_port));
    bench.report.Add(beyond, peer.name(), Above(whole, plugins));
  }
  return absl::OkStatus();
}

absl::Status MeasureRates(Bench& bench, const CniChain& chain) {
  const int count = bench.options.throughput_pods, at_once = bench.options.concurrency;
  const Metric metric = {
      .name = "pod networks per second", .unit = "/s", .pace = absl::StrCat(at_once, " at a time")};
  const auto add = [&](const std::string& name, absl::Time begin) {
    bench.report.Add(metric, name, count / absl::ToDoubleSeconds(absl::Now() - begin));
  };
  for (const std::vector<Peer>* peers : {&bench.peers, &bench.network_peers}) {
    for (const Peer& peer : *peers) {
      std::vector<std::string> pods(count);
      const absl::Time begin = absl::Now();
      RETURN_IF_ERROR(InParallel(count, at_once, [&](int i) -> absl::Status {
        ASSIGN_OR_RETURN(pods[i], peer.RunPod(ConfigOf(bench, peer, Network::kPod, 0)));
        return absl::OkStatus();
      }));
      add(peer.name(), begin);
      for (const std::string& id : pods) RETURN_IF_ERROR(peer.RemovePod(id));
    }
  }
  if (chain.plugins.empty()) return absl::OkStatus();
  std::vector<std::unique_ptr<CniChain::Attachment>> attachments;
  for (int i = 0; i < count; ++i) {
    ASSIGN_OR_RETURN(CniChain::Attachment attachment, NewAttachment(0));
    attachments.push_back(std::make_unique<CniChain::Attachment>(std::move(attachment)));
  }
  const absl::Time begin = absl::Now();
  RETURN_IF_ERROR(InParallel(count, at_once, [&](int i) { return chain.Add(*attachments[i]); }));
  add(kCniChain, begin);
  for (const auto& attachment : attachments) RETURN_IF_ERROR(chain.Delete(*attachment));
  return absl::OkStatus();
}

}  // namespace

absl::Status MeasureNetwork(Bench& bench) {
  const CniChain chain = {.plugins = bench.options.cni_plugins,
                          .scratch = bench.options.cni_scratch};
  int host_port = kFirstHostPort;
  for (const Kind& kind : kKinds) {
    for (const Pace& pace : kPaces) {
      const Metric metric = {.name = absl::StrCat("network of RunPodSandbox, ", kind.name),
                             .unit = "ms",
                             .pace = pace.name};
      for (int round = 0; round < bench.options.rounds; ++round) {
        const int port = kind.host_port ? ++host_port : 0;
        for (const Peer* peer : bench.Order(round)) {
          RETURN_IF_ERROR(MeasurePeer(bench, *peer, metric, pace, port).status());
        }
        RETURN_IF_ERROR(MeasureWithPlugins(bench, chain, metric, pace, port));
      }
    }
  }
  return MeasureRates(bench, chain);
}

}  // namespace berth::bench
