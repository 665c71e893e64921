#include "src/cli/lifecycle.h"

#include <filesystem>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "src/base/id.h"
#include "src/base/status_macros.h"
#include "src/cli/failure.h"
#include "src/cli/run_config.h"

namespace berth::cli {
namespace {

absl::StatusOr<cri::ListContainersResponse> RunningContainers(Client& client,
                                                              const std::string& pod_id) {
  cri::ListContainersRequest request;
  request.mutable_filter()->set_pod_sandbox_id(pod_id);
  request.mutable_filter()->mutable_state()->set_state(cri::CONTAINER_RUNNING);
  return client.ListContainers(request);
}

absl::Status StillRunning(absl::string_view what, const std::string& name) {
  return WithHint(absl::FailedPreconditionError(absl::StrCat(what, " still runs")),
                  absl::StrCat("berth stop ", name, " first, or berth rm -f ", name));
}

// Only a directory named by a full id below the log root: the uid is the daemon's word, and it must
// not be able to name another place.
absl::Status RemoveRunLogs(const std::string& uid, const std::string& socket) {
  if (!IsFullId(uid)) return absl::OkStatus();
  const std::string dir = absl::StrCat(RunLogRoot(socket), "/", uid);
  std::error_code error;
  std::filesystem::remove_all(dir, error);
  return error ? ErrnoStatus("remove", dir, error.value()) : absl::OkStatus();
}

absl::Status RemovePod(Client& client, const Target& target, const RemoveOptions& options) {
  ASSIGN_OR_RETURN(const cri::ListContainersResponse running,
                   RunningContainers(client, target.pod_id));
  if (!running.containers().empty() && !options.force) return StillRunning("it", target.name);
  if (target.run_pod) return RemoveRunPod(client, target.pod_id, target.pod_uid, options.socket);
  RETURN_IF_ERROR(client.StopPodSandbox(target.pod_id));
  return client.RemovePodSandbox(target.pod_id);
}

}  // namespace

absl::Status StopTarget(Client& client, const Target& target, absl::Duration grace) {
  if (target.kind == TargetKind::kContainer) {
    RETURN_IF_ERROR(client.StopContainer(target.id, grace));
    return target.run_pod ? client.StopPodSandbox(target.pod_id) : absl::OkStatus();
  }
  ASSIGN_OR_RETURN(const cri::ListContainersResponse running,
                   RunningContainers(client, target.pod_id));
  for (const cri::Container& container : running.containers()) {
    RETURN_IF_ERROR(client.StopContainer(container.id(), grace));
  }
  return client.StopPodSandbox(target.pod_id);
}

absl::Status RemoveTarget(Client& client, const Target& target, const RemoveOptions& options) {
  if (target.kind == TargetKind::kPod || target.run_pod) return RemovePod(client, target, options);
  if (target.running && !options.force) return StillRunning("it", target.name);
  if (target.running) RETURN_IF_ERROR(client.StopContainer(target.id, absl::ZeroDuration()));
  return client.RemoveContainer(target.id);
}

absl::Status RemoveRunPod(Client& client, const std::string& pod_id, const std::string& uid,
                          const std::string& socket) {
  RETURN_IF_ERROR(client.StopPodSandbox(pod_id));
  RETURN_IF_ERROR(client.RemovePodSandbox(pod_id));
  return RemoveRunLogs(uid, socket);
}

}  // namespace berth::cli
