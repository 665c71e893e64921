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
    ASSIGN_OR_RETURN(const PodPtr pod, node_.FindPod(request->pod_sandbox_id()));
    FillPodSandboxStatus(*pod, response->mutable_status());
    if (request->verbose()) (*response->mutable_info())["info"] = PodInfoJson(*pod);
    return absl::OkStatus();
  });
}

}  // namespace berth
