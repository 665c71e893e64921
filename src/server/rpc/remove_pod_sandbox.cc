#include "src/server/runtime_service.h"

namespace berth {

namespace cri = runtime::v1;

grpc::Status RuntimeService::RemovePodSandbox(grpc::ServerContext* context,
                                              const cri::RemovePodSandboxRequest* request,
                                              cri::RemovePodSandboxResponse*) {
  return calls_.Serve("RemovePodSandbox", context,
                      [&]() -> absl::Status { return node_.RemovePod(request->pod_sandbox_id()); });
}

}  // namespace berth
