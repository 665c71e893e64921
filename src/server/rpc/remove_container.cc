#include "src/server/runtime_service.h"

namespace berth {

namespace cri = runtime::v1;

grpc::Status RuntimeService::RemoveContainer(grpc::ServerContext* context,
                                             const cri::RemoveContainerRequest* request,
                                             cri::RemoveContainerResponse*) {
  return calls_.Serve("RemoveContainer", context, [&]() -> absl::Status {
    return node_.RemoveContainer(request->container_id());
  });
}

}  // namespace berth
