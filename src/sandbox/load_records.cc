// The rows that an earlier berthd left, as records. A damaged one is made good by the object's own
// record file; without that the object is known by its name, has ended, and can be removed.
#include "absl/time/clock.h"
#include "src/base/status_macros.h"
#include "src/sandbox/node.h"
#include "src/sandbox/record_file.h"
#include "src/sandbox/stored_records.h"

namespace berth {
namespace {

// What the object's own file says of it; of its status what the row still says.
absl::StatusOr<PodRow> RowFromFile(const PodRow& row, const std::string& directory) {
  ASSIGN_OR_RETURN(PodRecordFile file, ReadPodRecordFile(directory));
  if (file.row.id != row.id) return absl::DataLossError("another pod's record file");
  if (DecodePodStatus(row.status).ok()) file.row.status = row.status;
  return std::move(file.row);
}

absl::StatusOr<ContainerRow> RowFromFile(const ContainerRow& row, const std::string& directory) {
  ASSIGN_OR_RETURN(ContainerRow file, ReadContainerRecordFile(directory));
  if (file.id != row.id) return absl::DataLossError("another container's record file");
  if (DecodeContainerStatus(row.status).ok()) {
    file.status = row.status;
  } else {
    // Whether it was started is not in the file: its monitor knows.
    ContainerStatus unknown;
    unknown.state = ContainerState::kRunning;
    file.status = EncodeContainerStatus(unknown);
  }
  return file;
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

PodPtr Node::LoadPod(const PodRow& row) {
  absl::StatusOr<PodPtr> pod = RecordOf(row, options_.parsers);
  if (pod.ok()) return *std::move(pod);
  if (const absl::StatusOr<PodRow> file = RowFromFile(row, PodDataDir(row.id)); file.ok()) {
    if (absl::StatusOr<PodPtr> again = RecordOf(*file, options_.parsers); again.ok()) {
      log_.Warning("damaged pod record made good from its file",
                   {{"pod", row.id}, {"error", pod.status().message()}});
      if (const absl::Status written = RewritePod(database_, *file); !written.ok())
        log_.Error("pod not stored", {{"pod", row.id}, {"error", written.message()}});
      return *std::move(again);
    }
  }
  log_.Error("damaged pod record: the pod is ended",
             {{"pod", row.id}, {"error", pod.status().message()}});
  ++counters_.records_damaged;
  return UnreadableRecord(row, options_.parsers, boot_id_);
}

ContainerPtr Node::LoadContainer(const ContainerRow& row) {
  const absl::StatusOr<PodPtr> pod = state_.FindPod(row.pod_id);
  if (!pod.ok() || (*pod)->id != row.pod_id) {
    log_.Error("container record of no pod deleted", {{"container", row.id}});
    if (const absl::Status deleted = DeleteContainer(database_, row.id); !deleted.ok())
      log_.Error("container not deleted", {{"container", row.id}, {"error", deleted.message()}});
    return nullptr;
  }
  absl::StatusOr<ContainerPtr> container = RecordOf(row, **pod, options_.parsers);
  if (container.ok()) return *std::move(container);
  if (const absl::StatusOr<ContainerRow> file = RowFromFile(row, ContainerDir(row.id)); file.ok()) {
    if (absl::StatusOr<ContainerPtr> again = RecordOf(*file, **pod, options_.parsers); again.ok()) {
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
  ContainerPtr ended = UnreadableRecord(row, **pod, options_.parsers, absl::GetCurrentTimeNanos());
  // What it may do is not known any more, and so whom an exec would run as.
  cgroups_.Kill(ended->cgroup);
  return ended;
}

}  // namespace berth
