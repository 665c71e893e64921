#include "src/cli/previous_log.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "src/base/status_macros.h"
#include "src/cli/container_end.h"

namespace berth::cli {

std::string PreviousLogName(const std::string& path, uint32_t attempt) {
  absl::string_view directory = path;
  if (attempt == 0 || !absl::ConsumeSuffix(&directory, absl::StrCat("/", attempt, ".log")))
    return "";
  return absl::StrCat(directory, "/", attempt - 1, ".log");
}

absl::StatusOr<std::string> PreviousLogPath(Client& client, const std::string& pod_id,
                                            const cri::ContainerStatus& status) {
  cri::ListContainersRequest request;
  request.mutable_filter()->set_pod_sandbox_id(pod_id);
  ASSIGN_OR_RETURN(const cri::ListContainersResponse siblings, client.ListContainers(request));
  const cri::Container* previous = nullptr;
  for (const cri::Container& one : siblings.containers()) {
    const bool earlier = one.metadata().name() == status.metadata().name() &&
                         one.metadata().attempt() < status.metadata().attempt();
    if (!earlier) continue;
    if (previous == nullptr || previous->metadata().attempt() < one.metadata().attempt())
      previous = &one;
  }
  if (previous != nullptr) {
    ASSIGN_OR_RETURN(const cri::ContainerStatus found, GetContainerStatus(client, previous->id()));
    if (!found.log_path().empty()) return found.log_path();
  }
  const std::string path = PreviousLogName(status.log_path(), status.metadata().attempt());
  if (path.empty()) return absl::NotFoundError("there was no container of this name before it");
  return path;
}

}  // namespace berth::cli
