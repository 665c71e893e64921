#include "absl/time/clock.h"
#include "src/base/status_macros.h"
#include "src/server/convert/replies.h"
#include "src/server/convert/verbose_info.h"
#include "src/server/runtime_service.h"

namespace berth {

namespace cri = runtime::v1;

grpc::Status RuntimeService::PodSandboxStatus(grpc::ServerContext* context,
                                              const cri::PodSandboxStatusRequest* request,
                                              cri::PodSandboxStatusResponse* response) {
  return calls_.Serve("PodSandboxStatus", context, [&]() -> absl::Status {
    const int64_t now = absl::GetCurrentTimeNanos();
    const std::shared_ptr<const NodeSnapshot> snapshot = node_.Snapshot();
    ASSIGN_OR_RETURN(const PodPtr pod, snapshot->FindPod(request->pod_sandbox_id()));
    // The statuses are not older than the timestamp: what happens meanwhile is told by an event
    // with a later one.
    response->set_timestamp(now);
    FillPodSandboxStatus(*pod, response->mutable_status());
    for (const ContainerPtr& container : snapshot->ContainersOf(pod->id))
      FillContainerStatus(*container, response->add_containers_statuses());
    if (request->verbose()) (*response->mutable_info())["info"] = PodInfoJson(*pod);
    return absl::OkStatus();
  });
}

}  // namespace berth
