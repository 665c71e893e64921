// What /metrics shows, put together from all parts of the daemon, and the paths of its endpoint.
#pragma once

#include <functional>
#include <vector>

#include "absl/status/status.h"
#include "src/image/image_store.h"
#include "src/metrics/daemon_metrics.h"
#include "src/sandbox/network/bridge.h"
#include "src/sandbox/network/cni_network.h"
#include "src/sandbox/node.h"
#include "src/sandbox/operation_log.h"
#include "src/sandbox/stats_sampler.h"
#include "src/server/call.h"
#include "src/server/container_series.h"
#include "src/server/event_streams.h"
#include "src/server/http_endpoint.h"

namespace berth {

// Durations of the operation's stages, of its network part, and of a pull.
void ObserveOperation(const OperationRecord& operation, DaemonMetrics& metrics);

// Why a pull failed, of a fixed set: "unauthorized", "not_found", ...; "" for OK.
const char* PullFailureReason(const absl::Status& status);

std::vector<MetricReading> ReadPulls(const ImageStore& images);
std::vector<MetricReading> ReadNetwork(const BridgeNetwork::Counts& counts);
std::vector<MetricReading> ReadCni(const CniNetwork::Counts& counts);
std::vector<MetricReading> ReadNode(const Node& node, const StatsSampler& sampler);
std::vector<MetricReading> ReadServer(const Calls& calls, const EventStreams& events);

// Prometheus asks for what it prefers (RFC 9110, 12.5.1); without a wish it is the text format.
MetricsFormat FormatFor(absl::string_view accept);

// /metrics, /healthz and /readyz.
class TelemetryEndpoint {
 public:
  struct Parts {
    const DaemonMetrics& metrics;
    Node& node;
    StatsSampler& sampler;
    std::function<bool()> containers;  // have series of their own
    std::function<bool()> ready;       // the CRI is served
  };
  explicit TelemetryEndpoint(Parts parts) : parts_(std::move(parts)) {}
  HttpResponse Answer(const HttpRequest& request) const;

 private:
  HttpResponse Metrics(MetricsFormat format) const;
  const Parts parts_;
};

}  // namespace berth
