#include "src/server/runtime_service.h"

namespace berth {

namespace cri = runtime::v1;

grpc::Status RuntimeService::StartContainer(grpc::ServerContext* context,
                                            const cri::StartContainerRequest* request,
                                            cri::StartContainerResponse*) {
  return calls_.Serve("StartContainer", context, [&]() -> absl::Status {
    return node_.StartContainer(request->container_id());
  });
}

}  // namespace berth
