#include "src/server/runtime_service.h"

namespace berth {

namespace cri = runtime::v1;

grpc::Status RuntimeService::Version(grpc::ServerContext* context, const cri::VersionRequest*,
                                     cri::VersionResponse* response) {
  return calls_.Serve("Version", context, [&]() -> absl::Status {
    response->set_version(
        "0.1.0");  // of the kubelet's handshake, not ours: it compares it with its own constant
    response->set_runtime_name("berth");
    response->set_runtime_version(kVersion);
    response->set_runtime_api_version("v1");
    return absl::OkStatus();
  });
}

}  // namespace berth
