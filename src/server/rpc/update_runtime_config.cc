#include "absl/strings/str_split.h"
#include "src/server/runtime_service.h"

namespace berth {

namespace cri = runtime::v1;

grpc::Status RuntimeService::UpdateRuntimeConfig(grpc::ServerContext* context,
                                                 const cri::UpdateRuntimeConfigRequest* request,
                                                 cri::UpdateRuntimeConfigResponse*) {
  return calls_.Serve("UpdateRuntimeConfig", context, [&]() -> absl::Status {
    const std::string& cidr = request->runtime_config().network_config().pod_cidr();
    if (cidr.empty()) return absl::OkStatus();
    return node_.SetPodCidrs(absl::StrSplit(cidr, ',', absl::SkipWhitespace()));
  });
}

}  // namespace berth
