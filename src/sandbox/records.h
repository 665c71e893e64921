// What is known of a pod and a container: immutable records that snapshots share. A change makes a
// new record.
#pragma once

#include <any>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "src/sandbox/pod_config.h"

namespace berth {

struct ContainerAdjustment;

enum class PodState { kCreating, kReady, kNotReady };

struct PodStatus {
  PodState state = PodState::kCreating;
  std::vector<std::string> ips;  // primary first; empty for host network and after the stop
  std::string cgroup;            // path of the pod's cgroup
  std::string boot_id;           // of the boot in which its monitor was started
  int monitor_pid = -1;
  int pod_init_pid = 0;       // 0 without a pid namespace of the pod's own
  std::string selinux_level;  // of all its containers; "" without SELinux
  bool unstored = false;    // its row does not say all of this: it could not be written; not stored
  bool unreadable = false;  // its record is damaged: it was ended, and has a name only; not stored
  // As UpdatePodSandboxResources changed them; absent: as the pod was made.
  std::optional<CgroupLimits> overhead, resources;
};

struct PodRecord {
  std::string id;
  int64_t created_at = 0;
  PodConfig config;
  std::any request;  // the server's own form of what was asked; it is only handed back
  std::string request_bytes;
  PodStatus status;
};

//   kCreated --start--> kRunning --exit--> kExited        kCreated --failed start--> kExited
enum class ContainerState { kCreated, kRunning, kExited };

// ContainerStatus::reason of a container whose start failed: none of it ever ran.
inline constexpr char kStartErrorReason[] = "StartError";

struct ContainerStatus {
  ContainerState state = ContainerState::kCreated;
  int64_t started_at = 0, finished_at = 0;
  int exit_code = 0;
  std::string reason, message;
  int pid = -1;
  uint64_t log_dropped_bytes = 0;
  bool poststop_due = false;    // hooks of its end are to be run when it is removed
  bool cgroup_removed = false;  // since its exit; not stored
  bool unread = false;  // its monitor has not told since berthd's start how it is; not stored
  // As UpdateContainerResources changed them, all of them; absent: ContainerConfig::limits.
  std::optional<CgroupLimits> limits;
  std::string adjustment;  // ContainerRecord::adjustment, as RequestParsers::adjustment reads it
};

// What of the image a container goes on needing after the image may be gone. Stored with the
// container.
struct ContainerImage {
  std::string id, name,
      reference;  // "sha256:..."; a repo tag or the name asked for; "repo@sha256:..." or the id
  std::vector<std::string> layers;
  std::vector<std::string> env, entrypoint, cmd;
  std::string working_dir;
  int stop_signal = 0;
  uint32_t uid = 0, gid = 0;
  std::vector<uint32_t> groups;
  std::string home;
  std::vector<std::string> volumes;  // paths of VOLUME
  struct Mounted {
    std::string id, reference;
    std::vector<std::string> layers;
  };
  std::vector<Mounted> mounted;  // the images of image mounts, in their order
};

struct ContainerRecord {
  std::string id, pod_id;
  int64_t created_at = 0;
  ContainerConfig config;
  std::any request;
  std::string request_bytes;
  ContainerImage image;
  std::string log_path;  // absolute; "" without a log
  std::string cgroup;
  int stop_signal = 15;
  // What plugins have changed; null: nothing. Annotations are in `config` already.
  std::shared_ptr<const ContainerAdjustment> adjustment;
  ContainerStatus status;
};

void Adjust(ContainerAdjustment adjustment, ContainerRecord* container);

// Who an object is for people: "namespace/pod", and "namespace/pod/container".
std::string SubjectOf(const PodConfig& pod);
std::string SubjectOf(const PodConfig& pod, const ContainerConfig& container);

// What no two pods of a node have in common: name, namespace, uid and attempt.
std::string UniqueName(const PodConfig& pod);

// What limits the container now, or will when it starts.
inline const CgroupLimits& LimitsOf(const ContainerRecord& container) {
  return container.status.limits.has_value() ? *container.status.limits : container.config.limits;
}

// FailedPrecondition: the pod is not ready.
absl::Status CheckReady(const PodRecord& pod);
// Unavailable: what state the container is in is not known yet.
absl::Status UnreadError(const ContainerRecord& container);
// FailedPrecondition: what state the container is in instead.
absl::Status NotRunningError(const ContainerRecord& container);

// The JSON of the status and image columns (docs/formats/store.md). DataLoss for what is not such
// JSON.
std::string EncodePodStatus(const PodStatus& status);
absl::StatusOr<PodStatus> DecodePodStatus(absl::string_view text);
std::string EncodeContainerStatus(const ContainerStatus& status);
absl::StatusOr<ContainerStatus> DecodeContainerStatus(absl::string_view text);
std::string EncodeContainerImage(const ContainerImage& image);
absl::StatusOr<ContainerImage> DecodeContainerImage(absl::string_view text);

}  // namespace berth
