#include "src/server/runtime_service.h"

namespace berth {

namespace cri = runtime::v1;

grpc::Status RuntimeService::ReopenContainerLog(grpc::ServerContext* context,
                                                const cri::ReopenContainerLogRequest* request,
                                                cri::ReopenContainerLogResponse*) {
  return calls_.Serve("ReopenContainerLog", context, [&]() -> absl::Status {
    return node_.ReopenContainerLog(request->container_id());
  });
}

}  // namespace berth
