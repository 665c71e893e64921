// The rows that an earlier berthd left, as records. A damaged one is made good by the object's own
// record file; without that the object is known by its name, has ended, and can be removed.
#include <fcntl.h>
#include <signal.h>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "src/base/status_macros.h"
#include "src/kernel/file.h"
#include "src/sandbox/node.h"
#include "src/sandbox/record_file.h"

namespace berth {
namespace {

constexpr int kUnreadableExitCode = 255;
constexpr absl::Duration kAskPatience = absl::Seconds(2);

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

}  // namespace

absl::Status Node::LoadRecords() {
  ASSIGN_OR_RETURN(const std::vector<PodRow> pods, LoadPods(database_));
  ASSIGN_OR_RETURN(const std::vector<ContainerRow> containers, LoadContainers(database_));
  for (const PodRow& row : pods) state_.PutPod(LoadPod(row));
  for (const ContainerRow& row : containers) {
    if (ContainerPtr container = LoadContainer(row)) state_.PutContainer(std::move(container));
  }
  const std::shared_ptr<const NodeSnapshot> snapshot = Snapshot();
  for (const auto& [id, pod] : snapshot->pods) {
    if (pod->status.unreadable) ReclaimUnreadable(*pod);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<PodRecord>> Node::ReadPod(const PodRow& row) const {
  auto pod = std::make_shared<PodRecord>();
  pod->id = row.id;
  pod->created_at = row.created_at;
  pod->request_bytes = row.config;
  ASSIGN_OR_RETURN(ParsedPod parsed, options_.parsers.pod(row.config));
  pod->config = std::move(parsed.config);
  pod->request = std::move(parsed.request);
  ASSIGN_OR_RETURN(pod->status, DecodePodStatus(row.status));
  return pod;
}

PodPtr Node::LoadPod(const PodRow& row) {
  absl::StatusOr<std::shared_ptr<PodRecord>> pod = ReadPod(row);
  if (pod.ok()) return *std::move(pod);
  const absl::StatusOr<PodStatus> status = DecodePodStatus(row.status);
  if (absl::StatusOr<PodRecordFile> file = ReadPodRecordFile(PodDataDir(row.id));
      file.ok() && file->row.id == row.id) {
    if (status.ok()) file->row.status = row.status;
    if (absl::StatusOr<std::shared_ptr<PodRecord>> again = ReadPod(file->row); again.ok()) {
      log_.Warning("damaged pod record made good from its file",
                   {{"pod", row.id}, {"error", pod.status().message()}});
      if (const absl::Status written = RewritePod(database_, file->row); !written.ok())
        log_.Error("pod not stored", {{"pod", row.id}, {"error", written.message()}});
      return *std::move(again);
    }
  }
  log_.Error("damaged pod record: the pod is ended",
             {{"pod", row.id}, {"error", pod.status().message()}});
  ++counters_.records_damaged;
  auto unreadable = std::make_shared<PodRecord>();
  ParsedPod named = options_.parsers.unreadable_pod(PodNameOf(row.name));
  unreadable->id = row.id;
  unreadable->created_at = row.created_at;
  unreadable->request_bytes = row.config;
  unreadable->config = std::move(named.config);
  unreadable->request = std::move(named.request);
  if (status.ok()) unreadable->status = *status;
  unreadable->status.unreadable = true;
  unreadable->status.state = PodState::kNotReady;
  unreadable->status.boot_id = boot_id_;
  return unreadable;
}

absl::StatusOr<std::shared_ptr<ContainerRecord>> Node::ReadContainer(const ContainerRow& row,
                                                                     const PodRecord& pod) const {
  auto container = std::make_shared<ContainerRecord>();
  container->id = row.id;
  container->pod_id = row.pod_id;
  container->created_at = row.created_at;
  container->request_bytes = row.config;
  ASSIGN_OR_RETURN(ParsedContainer parsed, options_.parsers.container(row.config));
  container->config = std::move(parsed.config);
  container->request = std::move(parsed.request);
  ASSIGN_OR_RETURN(container->image, DecodeContainerImage(row.image));
  ASSIGN_OR_RETURN(container->status, DecodeContainerStatus(row.status));
  container->cgroup = absl::StrCat(pod.status.cgroup, "/", row.id);
  container->stop_signal = container->config.stop_signal != 0  ? container->config.stop_signal
                           : container->image.stop_signal != 0 ? container->image.stop_signal
                                                               : SIGTERM;
  if (pod.config.namespaces.pid == NamespaceMode::kNode &&
      container->config.pid == NamespaceMode::kPod) {
    container->config.pid = NamespaceMode::kNode;
  }
  const std::string& logs = pod.config.log_directory;
  if (!logs.empty() && !container->config.log_path.empty())
    container->log_path = absl::StrCat(logs, "/", container->config.log_path);
  container->status.unread = container->status.state != ContainerState::kExited;
  return container;
}

ContainerPtr Node::LoadContainer(const ContainerRow& row) {
  const absl::StatusOr<PodPtr> pod = state_.FindPod(row.pod_id);
  if (!pod.ok() || (*pod)->id != row.pod_id) {
    log_.Error("container record of no pod deleted", {{"container", row.id}});
    if (const absl::Status deleted = DeleteContainer(database_, row.id); !deleted.ok())
      log_.Error("container not deleted", {{"container", row.id}, {"error", deleted.message()}});
    return nullptr;
  }
  absl::StatusOr<std::shared_ptr<ContainerRecord>> container = ReadContainer(row, **pod);
  if (container.ok()) return *std::move(container);
  const absl::StatusOr<ContainerStatus> status = DecodeContainerStatus(row.status);
  if (absl::StatusOr<ContainerRow> file = ReadContainerRecordFile(ContainerDir(row.id));
      file.ok() && file->id == row.id) {
    // Whether it was started is not in the file: its monitor knows.
    ContainerStatus unknown;
    unknown.state = ContainerState::kRunning;
    file->status = status.ok() ? row.status : EncodeContainerStatus(unknown);
    if (absl::StatusOr<std::shared_ptr<ContainerRecord>> again = ReadContainer(*file, **pod);
        again.ok()) {
      log_.Warning("damaged container record made good from its file",
                   {{"container", row.id}, {"error", container.status().message()}});
      if (const absl::Status written = RewriteContainer(database_, *file); !written.ok())
        log_.Error("container not stored", {{"container", row.id}, {"error", written.message()}});
      return *std::move(again);
    }
  }
  log_.Error("damaged container record: the container is ended",
             {{"container", row.id}, {"error", container.status().message()}});
  ++counters_.records_damaged;
  auto unreadable = std::make_shared<ContainerRecord>();
  ParsedContainer named = options_.parsers.unreadable_container(ContainerNameOf(row.name));
  unreadable->id = row.id;
  unreadable->pod_id = row.pod_id;
  unreadable->created_at = row.created_at;
  unreadable->request_bytes = row.config;
  unreadable->config = std::move(named.config);
  unreadable->request = std::move(named.request);
  unreadable->cgroup = absl::StrCat((*pod)->status.cgroup, "/", row.id);
  unreadable->status = {.state = ContainerState::kExited,
                        .finished_at = absl::GetCurrentTimeNanos(),
                        .exit_code = kUnreadableExitCode,
                        .reason = "Unknown",
                        .message = "the container's record is damaged"};
  // What it may do is not known any more, and so whom an exec would run as.
  cgroups_.Kill(unreadable->cgroup);
  return unreadable;
}

// Where the monitor is: "N:CONTROLLERS:/PATH OF THE POD/monitor" in cgroups(7)'s file. Where it
// does not say, where a pod without a cgroup_parent would be.
std::string Node::CgroupOfUnreadable(const PodRecord& pod) const {
  if (const absl::StatusOr<MonitorHello> hello = Monitor(pod.id).Hello({}, kAskPatience);
      hello.ok()) {
    const std::string text =
        ReadFileAt(AT_FDCWD, absl::StrCat("/proc/", hello->pid, "/cgroup")).value_or("");
    for (const absl::string_view line : absl::StrSplit(text, '\n')) {
      const std::vector<std::string> fields = absl::StrSplit(line, absl::MaxSplits(':', 2));
      if (fields.size() < 3) continue;
      const size_t at = fields[2].find(pod.id);
      if (at != std::string::npos) return fields[2].substr(0, fields[2].find('/', at));
    }
  }
  return PodCgroup(pod).value_or("");
}

void Node::ReclaimUnreadable(const PodRecord& pod) {
  const std::string cgroup =
      pod.status.cgroup.empty() ? CgroupOfUnreadable(pod) : pod.status.cgroup;
  state_.UpdatePod(pod.id, [&](PodStatus& status) { status.cgroup = cgroup; });
  const std::shared_ptr<const NodeSnapshot> snapshot = Snapshot();
  for (const auto& [id, container] : snapshot->containers) {
    if (container->pod_id != pod.id) continue;
    state_.UpdateContainer(
        id, [&](ContainerRecord& record) { record.cgroup = absl::StrCat(cgroup, "/", record.id); });
  }
  Monitor(pod.id).Shutdown(kAskPatience).IgnoreError();
  cgroups_.Kill(cgroup);
  MarkLost(pod, "the pod's record is damaged");
}

}  // namespace berth
