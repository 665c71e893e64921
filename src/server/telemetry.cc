#include "src/server/telemetry.h"

#include <array>
#include <memory>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace berth {
namespace {

constexpr char kOpenMetricsType[] = "application/openmetrics-text; version=1.0.0; charset=utf-8";
constexpr char kTextType[] = "text/plain; version=0.0.4; charset=utf-8";

struct Reason {
  absl::StatusCode code;
  const char* name;
};
constexpr std::array<Reason, 10> kReasons = {{
    {absl::StatusCode::kUnauthenticated, "unauthorized"},
    {absl::StatusCode::kPermissionDenied, "unauthorized"},
    {absl::StatusCode::kNotFound, "not_found"},
    {absl::StatusCode::kDeadlineExceeded, "timeout"},
    {absl::StatusCode::kCancelled, "cancelled"},
    {absl::StatusCode::kUnavailable, "registry_unavailable"},
    {absl::StatusCode::kResourceExhausted, "no_space"},
    {absl::StatusCode::kDataLoss, "damaged"},
    {absl::StatusCode::kInvalidArgument, "invalid"},
    {absl::StatusCode::kFailedPrecondition, "refused"},
}};

double Value(int64_t number) { return static_cast<double>(number); }

// The quality that an Accept header gives a media type, 0 if it does not name it.
double QualityOf(absl::string_view accept, absl::string_view type) {
  double best = 0;
  for (absl::string_view range : absl::StrSplit(accept, ',')) {
    const std::vector<absl::string_view> parts = absl::StrSplit(range, ';');
    if (!absl::EqualsIgnoreCase(absl::StripAsciiWhitespace(parts[0]), type)) continue;
    double quality = 1;
    for (absl::string_view part : parts) {
      part = absl::StripAsciiWhitespace(part);
      if (absl::ConsumePrefix(&part, "q=") && !absl::SimpleAtod(part, &quality)) quality = 0;
    }
    best = std::max(best, quality);
  }
  return best;
}

}  // namespace

const char* PullFailureReason(const absl::Status& status) {
  if (status.ok()) return "";
  for (const Reason& reason : kReasons) {
    if (reason.code == status.code()) return reason.name;
  }
  return "other";
}

void ObserveOperation(const OperationRecord& operation, DaemonMetrics& metrics) {
  const absl::string_view kind = operation.kind;
  if (kind == "PullImage")
    return metrics.CountPull(PullFailureReason(operation.status), operation.took);
  for (const OperationRecord::Stage& stage : operation.stages) {
    metrics.ObserveStage(kind, stage.name, stage.took);
    if (absl::string_view(stage.name) != "network") continue;
    const bool failed = !operation.status.ok() && &stage == &operation.stages.back();
    metrics.ObserveNetwork(kind == "RunPodSandbox" ? "attach" : "detach", !failed, stage.took);
  }
}

std::vector<MetricReading> ReadPulls(const ImageStore& images) {
  const ImageStore::PullCounts counts = images.Counts();
  static constexpr char kPulls[] = "berth_image_pulls_total",
                        kEnded[] = "Image pulls that ended, by result";
  static constexpr char kLayers[] = "berth_image_pull_layers_total",
                        kFrom[] = "Layers of pulled images, by where they came from";
  return {
      {"berth_image_pulls_running", "Image pulls that run now", Value(counts.running)},
      {kPulls, kEnded, Value(counts.succeeded), {{"result", "succeeded"}}},
      {kPulls, kEnded, Value(counts.failed), {{"result", "failed"}}},
      {kPulls, kEnded, Value(counts.cancelled), {{"result", "cancelled"}}},
      {"berth_image_pull_bytes_total", "Bytes of compressed layers received",
       Value(counts.received_bytes)},
      {kLayers, kFrom, Value(counts.layers_fetched), {{"source", "registry"}}},
      {kLayers, kFrom, Value(counts.layers_present), {{"source", "store"}}},
  };
}

std::vector<MetricReading> ReadNetwork(const BridgeNetwork::Counts& counts) {
  static constexpr char kTaken[] = "berth_network_taken_total",
                        kFrom[] = "Networks that pods began with, by whether they were ready";
  return {
      {"berth_network_ready", "Networks of the built-in kind that wait for a pod",
       Value(counts.ready)},
      {kTaken, kFrom, Value(counts.taken_ready), {{"from", "ready"}}},
      {kTaken, kFrom, Value(counts.made_at_once), {{"from", "made"}}},
      {"berth_network_removals_pending", "Networks of pods that the kernel has still to remove",
       Value(counts.removals_pending)},
      {"berth_network_removals_total", "Networks of pods that were removed",
       Value(counts.removals_done)},
      {"berth_network_host_ports", "Ports of the node that lead to pods, each family counted",
       Value(counts.host_ports)},
      {"berth_network_table_mended_total",
       "How often the packet filter table was put back after somebody changed it",
       Value(counts.table_mended)},
  };
}

std::vector<MetricReading> ReadCni(const CniNetwork::Counts& counts) {
  static constexpr char kRuns[] = "berth_cni_operations_total",
                        kHelp[] = "Runs of the plugins of a CNI network, by operation and result";
  const auto runs = [](const char* operation, const char* result, int64_t number) {
    return MetricReading{
        kRuns, kHelp, Value(number), {{"operation", operation}, {"result", result}}};
  };
  return {
      {"berth_cni_attached", "Pods on a CNI network", Value(counts.attached)},
      {"berth_cni_pending_deletions",
       "Attachments of pods that are gone, not yet taken back by the plugins",
       Value(counts.pending_deletions)},
      {"berth_cni_namespaces_ready", "Empty network namespaces that wait for a pod",
       Value(counts.ready)},
      runs("ADD", "succeeded", counts.adds),
      runs("ADD", "failed", counts.failed_adds),
      runs("DEL", "succeeded", counts.deletions),
      runs("DEL", "failed", counts.failed_deletions),
      runs("CHECK", "failed", counts.failed_checks),
  };
}

std::vector<MetricReading> ReadNode(const Node& node, const StatsSampler& sampler) {
  int64_t ready = 0, created = 0, running = 0;
  const std::shared_ptr<const NodeSnapshot> snapshot = node.Snapshot();
  for (const auto& [id, pod] : snapshot->pods) ready += pod->status.state == PodState::kReady;
  for (const auto& [id, container] : snapshot->containers) {
    created += container->status.state == ContainerState::kCreated;
    running += container->status.state == ContainerState::kRunning;
  }
  const auto pods = static_cast<int64_t>(snapshot->pods.size());
  const auto containers = static_cast<int64_t>(snapshot->containers.size());
  const NodeCounters& counters = node.counters();
  const StatsSampler::Monitors monitors = sampler.LastMonitors();
  static constexpr char kPods[] = "Pods, by state", kContainers[] = "Containers, by state";
  return {
      {"berth_pods", kPods, Value(ready), {{"state", "ready"}}},
      {"berth_pods", kPods, Value(pods - ready), {{"state", "notready"}}},
      {"berth_containers", kContainers, Value(created), {{"state", "created"}}},
      {"berth_containers", kContainers, Value(running), {{"state", "running"}}},
      {"berth_containers",
       kContainers,
       Value(containers - created - running),
       {{"state", "exited"}}},
      {"berth_container_oom_kills_total", "Containers that ended for want of memory",
       Value(counters.oom_kills)},
      {"berth_container_restarts_total", "Containers created as a further attempt",
       Value(counters.restarts)},
      {"berth_container_log_dropped_bytes_total",
       "Output that could not be logged, or that a limit forbade",
       Value(static_cast<int64_t>(node.LogDroppedBytes()))},
      {"berth_leaks_reaped_total", "Leftovers of what is gone, found and removed",
       Value(counters.leaks_reaped)},
      {"berth_records_damaged_total", "Records at the start of which nothing but a name was left",
       Value(counters.records_damaged)},
      {"berth_cgroups_killed_total", "Cgroups that were not empty when they were to be removed",
       Value(counters.cgroups_killed)},
      {"berth_monitors", "Monitors of ready pods", Value(monitors.count)},
      {"berth_monitors_resident_bytes", "Resident memory of the monitors together",
       Value(monitors.resident_bytes)},
      {"berth_monitors_lost_total", "Monitors that ended before their pod",
       Value(counters.monitors_lost)},
  };
}

std::vector<MetricReading> ReadServer(const Calls& calls, const EventStreams& events) {
  const Calls::InFlight in_flight = calls.ReadInFlight();
  const EventStreams::Counts counts = events.Read();
  static constexpr char kName[] = "berth_grpc_in_flight",
                        kHelp[] = "Calls that are served now, by kind";
  return {
      {kName, kHelp, Value(in_flight.calls), {{"kind", "call"}}},
      {kName, kHelp, Value(in_flight.streams), {{"kind", "stream"}}},
      {kName, kHelp, Value(counts.open), {{"kind", "events"}}},
      {"berth_event_streams_refused_total", "Event streams refused because too many were open",
       Value(counts.refused)},
      {"berth_events_dropped_total", "Events that a slow client did not take in time",
       Value(counts.dropped_events)},
  };
}

MetricsFormat FormatFor(absl::string_view accept) {
  const double open = QualityOf(accept, "application/openmetrics-text");
  return open > 0 && open >= QualityOf(accept, "text/plain") ? MetricsFormat::kOpenMetrics
                                                             : MetricsFormat::kText;
}

HttpResponse TelemetryEndpoint::Metrics(MetricsFormat format) const {
  const bool open = format == MetricsFormat::kOpenMetrics;
  std::shared_ptr<ContainerSeries> series;
  if (parts_.containers()) {
    ContainerSeries::Options options{
        .containers = parts_.sampler.Containers(),
        .pods = parts_.sampler.Pods(),
        .layer = [&node =
                      parts_.node](absl::string_view id) { return node.WritableLayerUsage(id); },
        .file_system = parts_.node.DataFileSystem().value_or(FileSystemFacts()),
        .format = format};
    series = std::make_shared<ContainerSeries>(std::move(options));
  }
  bool own = true;  // come first
  return {.content_type = open ? kOpenMetricsType : kTextType,
          .body = [this, open, own, series](std::string* piece) mutable {
            if (std::exchange(own, false)) {
              *piece = open ? parts_.metrics.OpenMetricsText() : parts_.metrics.Text();
              if (series != nullptr) return true;
            } else if (series->Next(piece)) {
              return true;
            }
            if (open) piece->append("# EOF\n");
            return false;
          }};
}

HttpResponse TelemetryEndpoint::Answer(const HttpRequest& request) const {
  if (request.path == "/metrics") return Metrics(FormatFor(request.accept));
  if (request.path == "/healthz") return TextResponse(200, "ok\n");
  if (request.path == "/readyz") {
    return parts_.ready() ? TextResponse(200, "ok\n")
                          : TextResponse(503, "the CRI is not served\n");
  }
  return TextResponse(404, "here are /metrics, /healthz and /readyz\n");
}

}  // namespace berth
