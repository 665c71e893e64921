#include "src/base/status_macros.h"
#include "src/server/convert/resources_request.h"
#include "src/server/runtime_service.h"

namespace berth {

namespace cri = runtime::v1;

grpc::Status RuntimeService::UpdateContainerResources(
    grpc::ServerContext* context, const cri::UpdateContainerResourcesRequest* request,
    cri::UpdateContainerResourcesResponse*) {
  return calls_.Serve("UpdateContainerResources", context, [&]() -> absl::Status {
    RETURN_IF_ERROR(CheckResources(request->linux()));
    return node_.UpdateContainer(request->container_id(), ParseResources(request->linux()));
  });
}

}  // namespace berth
