// The daemon's own metrics, and the HTTP endpoint that shows them to Prometheus. Thread-safe.
#pragma once

#include <cstdint>
#include <functional>
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

  struct Pulls {
    int64_t running = 0, succeeded = 0, failed = 0, cancelled = 0;
    int64_t received_bytes = 0, layers_fetched = 0, layers_present = 0;
  };
  // berth_image_pulls_running, berth_image_pulls_total{result}, berth_image_pull_bytes_total,
  // berth_image_pull_layers_total{source}: `read` is asked at each scrape. Before Listen.
  void ShowPulls(std::function<Pulls()> read);

  struct Network {
    int64_t ready = 0, taken_ready = 0, made_at_once = 0;
    int64_t removals_pending = 0, removals_done = 0;
    int64_t host_ports = 0, table_mended = 0;
  };
  // berth_network_ready, berth_network_taken_total{from}, berth_network_removals_pending,
  // berth_network_removals_total, berth_network_host_ports, berth_network_table_mended_total: as
  // above.
  void ShowNetwork(std::function<Network()> read);

  struct Cni {
    int64_t attached = 0, pending_deletions = 0, ready = 0;
    int64_t adds = 0, failed_adds = 0, deletions = 0, failed_deletions = 0, failed_checks = 0;
  };
  // berth_cni_attached, berth_cni_pending_deletions, berth_cni_namespaces_ready,
  // berth_cni_operations_total{operation,result}: as above.
  void ShowCni(std::function<Cni()> read);

  // berth_container_log_dropped_bytes_total, as ShowPulls.
  void ShowLogs(std::function<int64_t()> dropped_bytes);

  // Serves /metrics on "host:port" from now on; Unavailable if the address cannot be bound.
  absl::Status Listen(const std::string& address);

  // The text format, as /metrics shows it.
  std::string Text() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace berth
