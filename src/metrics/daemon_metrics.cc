#include "src/metrics/daemon_metrics.h"

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

absl::Status DaemonMetrics::Listen(const std::string& address) {
  try {  // civetweb's wrapper throws: this is its one door
    impl_->exposer = std::make_unique<prometheus::Exposer>(address, /*num_threads=*/1);
  } catch (const std::exception& error) {
    return absl::UnavailableError(absl::StrCat("metrics.listen ", address, ": ", error.what()));
  }
  impl_->exposer->RegisterCollectable(impl_->registry);
  return absl::OkStatus();
}

std::string DaemonMetrics::Text() const {
  return prometheus::TextSerializer().Serialize(impl_->registry->Collect());
}

}  // namespace berth
