#include "src/cli/container_end.h"

#include <utility>

#include "absl/time/clock.h"
#include "src/base/status_macros.h"

namespace berth::cli {

absl::StatusOr<cri::ContainerStatus> GetContainerStatus(Client& client, const std::string& id) {
  cri::ContainerStatusRequest request;
  request.set_container_id(id);
  ASSIGN_OR_RETURN(const cri::ContainerStatusResponse reply, client.ContainerStatus(request));
  return reply.status();
}

EndWatch::EndWatch(Client& client, std::string container_id)
    : client_(client), id_(std::move(container_id)), answered_(absl::Now()) {}

absl::StatusOr<bool> EndWatch::Ended() {
  const auto status = GetContainerStatus(client_, id_);
  if (absl::IsUnavailable(status.status()) && absl::Now() - answered_ < kPatience) return false;
  if (absl::IsNotFound(status.status())) return true;
  RETURN_IF_ERROR(status.status());
  answered_ = absl::Now();
  return status->state() == cri::CONTAINER_EXITED;
}

}  // namespace berth::cli
