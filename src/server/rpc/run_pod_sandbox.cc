#include "src/base/status_macros.h"
#include "src/server/convert/requests.h"
#include "src/server/runtime_service.h"

namespace berth {

namespace cri = runtime::v1;

grpc::Status RuntimeService::RunPodSandbox(grpc::ServerContext* context,
                                           const cri::RunPodSandboxRequest* request,
                                           cri::RunPodSandboxResponse* response) {
  return calls_.Serve("RunPodSandbox", context, [&]() -> absl::Status {
    ASSIGN_OR_RETURN(ParsedPod pod, ParsePodRequest(*request, policy_));
    ASSIGN_OR_RETURN(const std::string id, node_.RunPod(std::move(pod)));
    response->set_pod_sandbox_id(id);
    return absl::OkStatus();
  });
}

}  // namespace berth
