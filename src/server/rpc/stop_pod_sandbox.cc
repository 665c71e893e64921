#include "src/server/runtime_service.h"

namespace berth {

namespace cri = runtime::v1;

grpc::Status RuntimeService::StopPodSandbox(grpc::ServerContext* context,
                                            const cri::StopPodSandboxRequest* request,
                                            cri::StopPodSandboxResponse*) {
  return calls_.Serve("StopPodSandbox", context,
                      [&]() -> absl::Status { return node_.StopPod(request->pod_sandbox_id()); });
}

}  // namespace berth
