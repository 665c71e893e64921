#include "src/server/runtime_service.h"

namespace berth {

namespace cri = runtime::v1;

grpc::Status RuntimeService::StopContainer(grpc::ServerContext* context,
                                           const cri::StopContainerRequest* request,
                                           cri::StopContainerResponse*) {
  return calls_.Serve("StopContainer", context, [&]() -> absl::Status {
    return node_.StopContainer(request->container_id(), absl::Seconds(request->timeout()),
                               DeadlineOf(*context));
  });
}

}  // namespace berth
