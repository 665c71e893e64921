#include "src/base/status_macros.h"
#include "src/server/convert/resources_request.h"
#include "src/server/runtime_service.h"

namespace berth {

namespace cri = runtime::v1;

grpc::Status RuntimeService::UpdatePodSandboxResources(
    grpc::ServerContext* context, const cri::UpdatePodSandboxResourcesRequest* request,
    cri::UpdatePodSandboxResourcesResponse*) {
  return calls_.Serve("UpdatePodSandboxResources", context, [&]() -> absl::Status {
    RETURN_IF_ERROR(CheckResources(request->overhead()));
    RETURN_IF_ERROR(CheckResources(request->resources()));
    return node_.UpdatePod(request->pod_sandbox_id(), ParseResources(request->overhead()),
                           ParseResources(request->resources()));
  });
}

}  // namespace berth
