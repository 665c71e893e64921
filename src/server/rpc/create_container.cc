#include "src/base/status_macros.h"
#include "src/server/convert/requests.h"
#include "src/server/runtime_service.h"

namespace berth {

namespace cri = runtime::v1;

grpc::Status RuntimeService::CreateContainer(grpc::ServerContext* context,
                                             const cri::CreateContainerRequest* request,
                                             cri::CreateContainerResponse* response) {
  return calls_.Serve("CreateContainer", context, [&]() -> absl::Status {
    ASSIGN_OR_RETURN(const PodPtr pod, node_.FindPod(request->pod_sandbox_id()));
    ASSIGN_OR_RETURN(ParsedContainer container,
                     ParseContainerRequest(*request, pod->config, policy_));
    ASSIGN_OR_RETURN(const std::string id, node_.CreateContainer(pod->id, std::move(container)));
    response->set_container_id(id);
    return absl::OkStatus();
  });
}

}  // namespace berth
