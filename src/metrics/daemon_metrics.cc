#include "src/metrics/daemon_metrics.h"

#include <prometheus/collectable.h>
#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "absl/synchronization/mutex.h"

namespace berth {
namespace {

using Labels = std::map<std::string, std::string>;
using prometheus::MetricType;

const prometheus::Histogram::BucketBoundaries kSeconds = {
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60};
const prometheus::Histogram::BucketBoundaries kPullSeconds = {0.1, 0.5, 1,  2.5, 5,
                                                              10,  30,  60, 300, 1800};

// Family::Add searches under a lock and copies the labels; the references that it gives stay
// valid.
class Histograms {
 public:
  Histograms(prometheus::Registry& registry, const char* name, const char* help,
             std::vector<std::string> labels,
             const prometheus::Histogram::BucketBoundaries& buckets)
      : family_(prometheus::BuildHistogram().Name(name).Help(help).Register(registry)),
        labels_(std::move(labels)),
        buckets_(buckets) {}

  void Observe(const std::vector<absl::string_view>& values, absl::Duration took) {
    prometheus::Histogram* histogram;
    {
      absl::MutexLock lock(&mu_);
      std::string key;
      for (absl::string_view value : values) absl::StrAppend(&key, value, "/");
      prometheus::Histogram*& known = known_[key];
      if (known == nullptr) {
        Labels labels;
        for (size_t i = 0; i < labels_.size(); ++i) labels[labels_[i]] = std::string(values[i]);
        known = &family_.Add(labels, buckets_);
      }
      histogram = known;
    }
    histogram->Observe(absl::ToDoubleSeconds(took));
  }

 private:
  prometheus::Family<prometheus::Histogram>& family_;
  const std::vector<std::string> labels_;
  const prometheus::Histogram::BucketBoundaries& buckets_;
  absl::Mutex mu_;
  absl::flat_hash_map<std::string, prometheus::Histogram*> known_ ABSL_GUARDED_BY(mu_);
};

// Readings of the same name become one family.
void AddReadings(const std::vector<MetricReading>& readings,
                 std::vector<prometheus::MetricFamily>* families) {
  std::map<std::string, size_t> at;
  for (const MetricReading& reading : readings) {
    const bool counter = absl::EndsWith(reading.name, "_total");
    const auto [found, is_new] = at.try_emplace(reading.name, families->size());
    if (is_new) {
      families->push_back({.name = reading.name,
                           .help = reading.help,
                           .type = counter ? MetricType::Counter : MetricType::Gauge});
    }
    prometheus::ClientMetric metric;
    for (const auto& [name, value] : reading.labels) metric.label.push_back({name, value});
    if (counter) {
      metric.counter.value = reading.value;
    } else {
      metric.gauge.value = reading.value;
    }
    (*families)[found->second].metric.push_back(std::move(metric));
  }
}

}  // namespace

class DaemonMetrics::Impl {
 public:
  explicit Impl(const std::string& version)
      : operations(prometheus::BuildCounter()
                       .Name("berth_cri_operations_total")
                       .Help("CRI operations served, by operation and gRPC code")
                       .Register(registry)),
        pull_errors(prometheus::BuildCounter()
                        .Name("berth_image_pull_errors_total")
                        .Help("Image pulls that failed, by reason")
                        .Register(registry)),
        durations(registry, "berth_cri_operation_duration_seconds", "Time that CRI operations took",
                  {"operation"}, kSeconds),
        stages(registry, "berth_stage_duration_seconds",
               "Time that the stages of operations on pods and containers took",
               {"operation", "stage"}, kSeconds),
        pulls(registry, "berth_image_pull_duration_seconds", "Time that image pulls took",
              {"result"}, kPullSeconds),
        network(registry, "berth_network_operation_duration_seconds",
                "Time that setting up and taking down pods' networks took", {"operation", "result"},
                kSeconds),
        store(registry, "berth_store_transaction_duration_seconds",
              "Time that transactions of the metadata database took", {"kind"}, kSeconds) {
    prometheus::BuildGauge()
        .Name("berth_build_info")
        .Help("1, labelled with the version of berthd")
        .Register(registry)
        .Add({{"version", version}})
        .Set(1);
  }

  prometheus::Registry registry;
  prometheus::Family<prometheus::Counter>& operations;
  prometheus::Family<prometheus::Counter>& pull_errors;
  Histograms durations, stages, pulls, network, store;
  std::vector<std::function<std::vector<MetricReading>()>> readers;

  absl::Mutex mu;
  absl::flat_hash_map<std::string, prometheus::Counter*> counters ABSL_GUARDED_BY(mu);
};

DaemonMetrics::DaemonMetrics(const std::string& version) : impl_(std::make_unique<Impl>(version)) {}
DaemonMetrics::~DaemonMetrics() = default;

void DaemonMetrics::CountOperation(absl::string_view operation, absl::string_view code,
                                   absl::Duration duration) {
  {
    absl::MutexLock lock(&impl_->mu);
    prometheus::Counter*& known = impl_->counters[absl::StrCat(operation, "/", code)];
    if (known == nullptr) {
      known = &impl_->operations.Add(
          {{"operation", std::string(operation)}, {"code", std::string(code)}});
    }
    known->Increment();
  }
  impl_->durations.Observe({operation}, duration);
}

void DaemonMetrics::ObserveStage(absl::string_view operation, absl::string_view stage,
                                 absl::Duration took) {
  impl_->stages.Observe({operation, stage}, took);
}

void DaemonMetrics::CountPull(absl::string_view reason, absl::Duration took) {
  impl_->pulls.Observe({reason.empty() ? "succeeded" : "failed"}, took);
  if (!reason.empty()) impl_->pull_errors.Add({{"reason", std::string(reason)}}).Increment();
}

void DaemonMetrics::ObserveNetwork(absl::string_view operation, bool ok, absl::Duration took) {
  impl_->network.Observe({operation, ok ? "ok" : "error"}, took);
}

void DaemonMetrics::ObserveStore(absl::string_view kind, absl::Duration took) {
  impl_->store.Observe({kind}, took);
}

void DaemonMetrics::AddReader(std::function<std::vector<MetricReading>()> read) {
  impl_->readers.push_back(std::move(read));
}

std::string DaemonMetrics::Text() const {
  std::vector<prometheus::MetricFamily> families = impl_->registry.Collect();
  std::vector<MetricReading> readings;
  for (const auto& read : impl_->readers) {
    std::vector<MetricReading> more = read();
    std::move(more.begin(), more.end(), std::back_inserter(readings));
  }
  AddReadings(readings, &families);
  return prometheus::TextSerializer().Serialize(families);
}

// The formats differ in the name of a counter's family, which OpenMetrics gives without "_total".
std::string DaemonMetrics::OpenMetricsText() const {
  std::string out;
  const std::string text = Text();
  std::string family;
  for (absl::string_view line : absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    absl::string_view rest = line;
    const bool help = absl::ConsumePrefix(&rest, "# HELP ");
    if (!help && !absl::ConsumePrefix(&rest, "# TYPE ")) {
      absl::StrAppend(&out, line, "\n");
      continue;
    }
    const std::pair<absl::string_view, absl::string_view> parts =
        absl::StrSplit(rest, absl::MaxSplits(' ', 1));
    absl::StrAppend(&out, help ? "# HELP " : "# TYPE ", absl::StripSuffix(parts.first, "_total"),
                    " ", parts.second, "\n");
  }
  return out;
}

}  // namespace berth
