#include "src/base/status_macros.h"
#include "src/server/convert/replies.h"
#include "src/server/convert/requests.h"
#include "src/server/runtime_service.h"

namespace berth {

namespace cri = runtime::v1;

grpc::Status RuntimeService::UpdateRuntimeConfig(grpc::ServerContext* context,
                                                 const cri::UpdateRuntimeConfigRequest*,
                                                 cri::UpdateRuntimeConfigResponse*) {
  return calls_.Serve("UpdateRuntimeConfig", context, [&]() -> absl::Status {
    // The built-in network has its subnets from the configuration; a pod CIDR is for CNI templates.
    return absl::OkStatus();
  });
}

}  // namespace berth
