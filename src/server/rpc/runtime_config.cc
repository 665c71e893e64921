#include "src/server/runtime_service.h"

namespace berth {

namespace cri = runtime::v1;

grpc::Status RuntimeService::RuntimeConfig(grpc::ServerContext* context,
                                           const cri::RuntimeConfigRequest*,
                                           cri::RuntimeConfigResponse* response) {
  return calls_.Serve("RuntimeConfig", context, [&]() -> absl::Status {
    response->mutable_linux()->set_cgroup_driver(policy_.systemd_cgroups ? cri::SYSTEMD
                                                                         : cri::CGROUPFS);
    return absl::OkStatus();
  });
}

}  // namespace berth
