#include "src/sandbox/stored_records.h"

#include <signal.h>

#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "src/base/status_macros.h"

namespace berth {
namespace {

constexpr int kUnreadableExitCode = 255;

uint32_t NumberIn(absl::string_view text) {
  uint32_t number = 0;
  return absl::SimpleAtoi(text, &number) ? number : 0;
}

// "<name>/<namespace>/<uid>/<attempt>"
PodName PodNameOf(absl::string_view name) {
  std::vector<std::string> parts = absl::StrSplit(name, '/');
  if (parts.size() < 4) return {.name = std::string(name)};
  const size_t last = parts.size() - 1;
  return {.name = absl::StrJoin(parts.begin(), parts.end() - 3, "/"),
          .pod_namespace = parts[last - 2],
          .uid = parts[last - 1],
          .attempt = NumberIn(parts[last])};
}

// "<name>/<attempt>/<pod id>"
ContainerName ContainerNameOf(absl::string_view name) {
  std::vector<std::string> parts = absl::StrSplit(name, '/');
  if (parts.size() < 3) return {.name = std::string(name)};
  return {.name = absl::StrJoin(parts.begin(), parts.end() - 2, "/"),
          .attempt = NumberIn(parts[parts.size() - 2])};
}

std::shared_ptr<PodRecord> MakeRecord(const PodRow& row, ParsedPod parsed) {
  auto pod = std::make_shared<PodRecord>();
  pod->id = row.id;
  pod->created_at = row.created_at;
  pod->request_bytes = row.config;
  pod->config = std::move(parsed.config);
  pod->request = std::move(parsed.request);
  return pod;
}

std::shared_ptr<ContainerRecord> MakeRecord(const ContainerRow& row, const PodRecord& pod,
                                            ParsedContainer parsed) {
  auto container = std::make_shared<ContainerRecord>();
  container->id = row.id;
  container->pod_id = row.pod_id;
  container->created_at = row.created_at;
  container->request_bytes = row.config;
  container->config = std::move(parsed.config);
  container->request = std::move(parsed.request);
  container->cgroup = absl::StrCat(pod.status.cgroup, "/", row.id);
  return container;
}

}  // namespace

absl::StatusOr<std::shared_ptr<PodRecord>> RecordOf(const PodRow& row,
                                                    const RequestParsers& parsers) {
  ASSIGN_OR_RETURN(ParsedPod parsed, parsers.pod(row.config));
  std::shared_ptr<PodRecord> pod = MakeRecord(row, std::move(parsed));
  ASSIGN_OR_RETURN(pod->status, DecodePodStatus(row.status));
  return pod;
}

absl::StatusOr<std::shared_ptr<ContainerRecord>> RecordOf(const ContainerRow& row,
                                                          const PodRecord& pod,
                                                          const RequestParsers& parsers) {
  ASSIGN_OR_RETURN(ParsedContainer parsed, parsers.container(row.config));
  std::shared_ptr<ContainerRecord> container = MakeRecord(row, pod, std::move(parsed));
  ASSIGN_OR_RETURN(container->image, DecodeContainerImage(row.image));
  ASSIGN_OR_RETURN(container->status, DecodeContainerStatus(row.status));
  if (!container->status.adjustment.empty()) {
    ASSIGN_OR_RETURN(ContainerAdjustment adjustment,
                     parsers.adjustment(container->status.adjustment));
    Adjust(std::move(adjustment), container.get());
  }
  ContainerConfig& config = container->config;
  container->stop_signal = config.stop_signal != 0             ? config.stop_signal
                           : container->image.stop_signal != 0 ? container->image.stop_signal
                                                               : SIGTERM;
  if (pod.config.namespaces.pid == NamespaceMode::kNode && config.pid == NamespaceMode::kPod)
    config.pid = NamespaceMode::kNode;
  const std::string& logs = pod.config.log_directory;
  if (!logs.empty() && !config.log_path.empty())
    container->log_path = absl::StrCat(logs, "/", config.log_path);
  container->status.unread = container->status.state != ContainerState::kExited;
  return container;
}

std::shared_ptr<PodRecord> UnreadableRecord(const PodRow& row, const RequestParsers& parsers,
                                            const std::string& boot_id) {
  std::shared_ptr<PodRecord> pod = MakeRecord(row, parsers.unreadable_pod(PodNameOf(row.name)));
  if (absl::StatusOr<PodStatus> status = DecodePodStatus(row.status); status.ok())
    pod->status = *std::move(status);
  pod->status.unreadable = true;
  pod->status.state = PodState::kNotReady;
  pod->status.boot_id = boot_id;
  return pod;
}

std::shared_ptr<ContainerRecord> UnreadableRecord(const ContainerRow& row, const PodRecord& pod,
                                                  const RequestParsers& parsers, int64_t now) {
  std::shared_ptr<ContainerRecord> container =
      MakeRecord(row, pod, parsers.unreadable_container(ContainerNameOf(row.name)));
  container->status = {.state = ContainerState::kExited,
                       .finished_at = now,
                       .exit_code = kUnreadableExitCode,
                       .reason = "Unknown",
                       .message = "the container's record is damaged"};
  return container;
}

}  // namespace berth
