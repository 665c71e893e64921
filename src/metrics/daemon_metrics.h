// The daemon's own metrics, for Prometheus. Labels come from fixed sets only: nothing that a tenant
// names is one. Thread-safe.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace berth {

// A number that another part of the daemon keeps, as it is at a scrape. A counter's name ends in
// "_total".
struct MetricReading {
  const char* name;  // both are literals
  const char* help;
  double value = 0;
  std::map<std::string, std::string> labels;
};

class DaemonMetrics {
 public:
  explicit DaemonMetrics(const std::string& version);
  ~DaemonMetrics();

  // One served rpc: berth_cri_operations_total{operation,code} and
  // berth_cri_operation_duration_seconds{operation}.
  void CountOperation(absl::string_view operation, absl::string_view code, absl::Duration duration);
  // berth_stage_duration_seconds{operation,stage}: a part of what an operation does.
  void ObserveStage(absl::string_view operation, absl::string_view stage, absl::Duration took);
  // berth_image_pull_duration_seconds{result}, and berth_image_pull_errors_total{reason} unless
  // `reason` is "".
  void CountPull(absl::string_view reason, absl::Duration took);
  // berth_network_operation_duration_seconds{operation,result}.
  void ObserveNetwork(absl::string_view operation, bool ok, absl::Duration took);
  // berth_store_transaction_duration_seconds{kind}: "read", "write", "sync".
  void ObserveStore(absl::string_view kind, absl::Duration took);

  // `read` is asked at each scrape. Not while others are called.
  void AddReader(std::function<std::vector<MetricReading>()> read);

  // The Prometheus text format 0.0.4.
  std::string Text() const;
  // The same in the OpenMetrics format, without its "# EOF".
  std::string OpenMetricsText() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

// What the kernel tells of this process: the usual process_* metrics.
std::vector<MetricReading> ReadProcessMetrics();

}  // namespace berth
