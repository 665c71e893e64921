#include <nlohmann/json.hpp>
#include "src/base/status_macros.h"
#include "src/server/convert/replies.h"
#include "src/server/convert/requests.h"
#include "src/server/runtime_service.h"

namespace berth {

namespace cri = runtime::v1;

grpc::Status RuntimeService::PodSandboxStatus(grpc::ServerContext* context,
                                              const cri::PodSandboxStatusRequest* request,
                                              cri::PodSandboxStatusResponse* response) {
  return calls_.Serve("PodSandboxStatus", context, [&]() -> absl::Status {
    ASSIGN_OR_RETURN(const PodPtr pod, node_.FindPod(request->pod_sandbox_id()));
    FillPodSandboxStatus(*pod, response->mutable_status());
    if (request->verbose()) {
      (*response->mutable_info())["info"] = nlohmann::json{
          {"pid", pod->status.monitor_pid},
          {"cgroup", pod->status.cgroup},
          {"ips", pod->status.ips}}.dump();
    }
    return absl::OkStatus();
  });
}

}  // namespace berth
