#include "src/metrics/daemon_metrics.h"

#include <prometheus/collectable.h>
#include <prometheus/counter.h>
#include <prometheus/exposer.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"

namespace berth {
namespace {

prometheus::ClientMetric Sample(prometheus::MetricType type, int64_t value, std::string label = "",
                                std::string label_value = "") {
  prometheus::ClientMetric metric;
  if (!label.empty()) metric.label = {{std::move(label), std::move(label_value)}};
  if (type == prometheus::MetricType::Gauge) {
    metric.gauge.value = static_cast<double>(value);
  } else {
    metric.counter.value = static_cast<double>(value);
  }
  return metric;
}

// Numbers that another part of the daemon keeps.
class PullCollector : public prometheus::Collectable {
 public:
  explicit PullCollector(std::function<DaemonMetrics::Pulls()> read) : read_(std::move(read)) {}

  std::vector<prometheus::MetricFamily> Collect() const override {
    constexpr auto kGauge = prometheus::MetricType::Gauge;
    constexpr auto kCounter = prometheus::MetricType::Counter;
    const DaemonMetrics::Pulls pulls = read_();
    return {{"berth_image_pulls_running",
             "Image pulls that run now",
             kGauge,
             {Sample(kGauge, pulls.running)}},
            {"berth_image_pulls_total",
             "Image pulls that ended, by result",
             kCounter,
             {Sample(kCounter, pulls.succeeded, "result", "succeeded"),
              Sample(kCounter, pulls.failed, "result", "failed"),
              Sample(kCounter, pulls.cancelled, "result", "cancelled")}},
            {"berth_image_pull_bytes_total",
             "Bytes of compressed layers received",
             kCounter,
             {Sample(kCounter, pulls.received_bytes)}},
            {"berth_image_pull_layers_total",
             "Layers of pulled images, by where they came from",
             kCounter,
             {Sample(kCounter, pulls.layers_fetched, "source", "registry"),
              Sample(kCounter, pulls.layers_present, "source", "store")}}};
  }

 private:
  const std::function<DaemonMetrics::Pulls()> read_;
};

class NetworkCollector : public prometheus::Collectable {
 public:
  explicit NetworkCollector(std::function<DaemonMetrics::Network()> read)
      : read_(std::move(read)) {}

  std::vector<prometheus::MetricFamily> Collect() const override {
    constexpr auto kGauge = prometheus::MetricType::Gauge;
    constexpr auto kCounter = prometheus::MetricType::Counter;
    const DaemonMetrics::Network network = read_();
    return {{"berth_network_ready",
             "Networks of the built-in kind that wait for a pod",
             kGauge,
             {Sample(kGauge, network.ready)}},
            {"berth_network_taken_total",
             "Networks that pods began with, by whether they were ready",
             kCounter,
             {Sample(kCounter, network.taken_ready, "from", "ready"),
              Sample(kCounter, network.made_at_once, "from", "made")}},
            {"berth_network_removals_pending",
             "Networks of pods that the kernel has still to remove",
             kGauge,
             {Sample(kGauge, network.removals_pending)}},
            {"berth_network_removals_total",
             "Networks of pods that were removed",
             kCounter,
             {Sample(kCounter, network.removals_done)}},
            {"berth_network_host_ports",
             "Ports of the node that lead to pods, each family counted",
             kGauge,
             {Sample(kGauge, network.host_ports)}},
            {"berth_network_table_mended_total",
             "How often the packet filter table was put back after somebody changed it",
             kCounter,
             {Sample(kCounter, network.table_mended)}}};
  }

 private:
  const std::function<DaemonMetrics::Network()> read_;
};

class CniCollector : public prometheus::Collectable {
 public:
  explicit CniCollector(std::function<DaemonMetrics::Cni()> read) : read_(std::move(read)) {}

  std::vector<prometheus::MetricFamily> Collect() const override {
    constexpr auto kGauge = prometheus::MetricType::Gauge;
    constexpr auto kCounter = prometheus::MetricType::Counter;
    const DaemonMetrics::Cni cni = read_();
    const auto operation = [](const char* name, const char* result, int64_t value) {
      prometheus::ClientMetric metric = Sample(kCounter, value, "operation", name);
      metric.label.push_back({"result", result});
      return metric;
    };
    return {{"berth_cni_attached", "Pods on a CNI network", kGauge, {Sample(kGauge, cni.attached)}},
            {"berth_cni_pending_deletions",
             "Attachments of pods that are gone, not yet taken back by the plugins",
             kGauge,
             {Sample(kGauge, cni.pending_deletions)}},
            {"berth_cni_namespaces_ready",
             "Empty network namespaces that wait for a pod",
             kGauge,
             {Sample(kGauge, cni.ready)}},
            {"berth_cni_operations_total",
             "Runs of the plugins of a CNI network, by operation and result",
             kCounter,
             {operation("ADD", "succeeded", cni.adds), operation("ADD", "failed", cni.failed_adds),
              operation("DEL", "succeeded", cni.deletions),
              operation("DEL", "failed", cni.failed_deletions),
              operation("CHECK", "failed", cni.failed_checks)}}};
  }

 private:
  const std::function<DaemonMetrics::Cni()> read_;
};

class LogCollector : public prometheus::Collectable {
 public:
  explicit LogCollector(std::function<int64_t()> dropped) : dropped_(std::move(dropped)) {}

  std::vector<prometheus::MetricFamily> Collect() const override {
    constexpr auto kCounter = prometheus::MetricType::Counter;
    return {{"berth_container_log_dropped_bytes_total",
             "Bytes of containers' output that a log's limit or a full disk kept out of it",
             kCounter,
             {Sample(kCounter, dropped_())}}};
  }

 private:
  const std::function<int64_t()> dropped_;
};

const prometheus::Histogram::BucketBoundaries kSeconds = {
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60};

}  // namespace

class DaemonMetrics::Impl {
 public:
  explicit Impl(const std::string& version)
      : registry(std::make_shared<prometheus::Registry>()),
        operations(prometheus::BuildCounter()
                       .Name("berth_cri_operations_total")
                       .Help("CRI operations served, by operation and gRPC code")
                       .Register(*registry)),
        durations(prometheus::BuildHistogram()
                      .Name("berth_cri_operation_duration_seconds")
                      .Help("Time that CRI operations took")
                      .Register(*registry)) {
    prometheus::BuildGauge()
        .Name("berth_build_info")
        .Help("1, labelled with the version of berthd")
        .Register(*registry)
        .Add({{"version", version}})
        .Set(1);
  }

  std::shared_ptr<prometheus::Registry> registry;
  prometheus::Family<prometheus::Counter>& operations;
  prometheus::Family<prometheus::Histogram>& durations;
  std::vector<std::shared_ptr<prometheus::Collectable>> collectors;  // of other parts' numbers
  std::unique_ptr<prometheus::Exposer> exposer;

  // Family::Add searches under a lock; the references that it gives stay valid.
  absl::Mutex mu;
  absl::flat_hash_map<std::string, prometheus::Counter*> counters ABSL_GUARDED_BY(mu);
  absl::flat_hash_map<std::string, prometheus::Histogram*> histograms ABSL_GUARDED_BY(mu);
};

DaemonMetrics::DaemonMetrics(const std::string& version) : impl_(std::make_unique<Impl>(version)) {}
DaemonMetrics::~DaemonMetrics() = default;

void DaemonMetrics::CountOperation(absl::string_view operation, absl::string_view code,
                                   absl::Duration duration) {
  prometheus::Counter* counter;
  prometheus::Histogram* histogram;
  {
    absl::MutexLock lock(&impl_->mu);
    prometheus::Counter*& known = impl_->counters[absl::StrCat(operation, "/", code)];
    if (known == nullptr) {
      known = &impl_->operations.Add(
          {{"operation", std::string(operation)}, {"code", std::string(code)}});
    }
    counter = known;
    prometheus::Histogram*& known_histogram = impl_->histograms[operation];
    if (known_histogram == nullptr) {
      known_histogram = &impl_->durations.Add({{"operation", std::string(operation)}}, kSeconds);
    }
    histogram = known_histogram;
  }
  counter->Increment();
  histogram->Observe(absl::ToDoubleSeconds(duration));
}

void DaemonMetrics::ShowPulls(std::function<Pulls()> read) {
  impl_->collectors.push_back(std::make_shared<PullCollector>(std::move(read)));
}

void DaemonMetrics::ShowNetwork(std::function<Network()> read) {
  impl_->collectors.push_back(std::make_shared<NetworkCollector>(std::move(read)));
}

void DaemonMetrics::ShowCni(std::function<Cni()> read) {
  impl_->collectors.push_back(std::make_shared<CniCollector>(std::move(read)));
}

void DaemonMetrics::ShowLogs(std::function<int64_t()> dropped_bytes) {
  impl_->collectors.push_back(std::make_shared<LogCollector>(std::move(dropped_bytes)));
}

absl::Status DaemonMetrics::Listen(const std::string& address) {
  try {  // civetweb's wrapper throws: this is its one door
    impl_->exposer = std::make_unique<prometheus::Exposer>(address, /*num_threads=*/1);
  } catch (const std::exception& error) {
    return absl::UnavailableError(absl::StrCat("metrics.listen ", address, ": ", error.what()));
  }
  impl_->exposer->RegisterCollectable(impl_->registry);
  for (const auto& collector : impl_->collectors) impl_->exposer->RegisterCollectable(collector);
  return absl::OkStatus();
}

std::string DaemonMetrics::Text() const {
  std::vector<prometheus::MetricFamily> families = impl_->registry->Collect();
  for (const auto& collector : impl_->collectors) {
    std::vector<prometheus::MetricFamily> more = collector->Collect();
    std::move(more.begin(), more.end(), std::back_inserter(families));
  }
  return prometheus::TextSerializer().Serialize(families);
}

}  // namespace berth
