// The daemon's own metrics, and the HTTP endpoint that shows them to Prometheus. Thread-safe.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace berth {

class DaemonMetrics {
 public:
  explicit DaemonMetrics(const std::string& version);
  ~DaemonMetrics();

  // One served rpc: berth_cri_operations_total{operation,code} and
  // berth_cri_operation_duration_seconds{operation}. Both labels come from fixed sets.
  void CountOperation(absl::string_view operation, absl::string_view code, absl::Duration duration);

  // Serves /metrics on "host:port" from now on; Unavailable if the address cannot be bound.
  absl::Status Listen(const std::string& address);

  // The text format, as /metrics shows it.
  std::string Text() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace berth
