#include <nlohmann/json.hpp>
#include "src/base/status_macros.h"
#include "src/server/convert/replies.h"
#include "src/server/convert/requests.h"
#include "src/server/runtime_service.h"

namespace berth {

namespace cri = runtime::v1;
namespace {

std::string InfoJson(const ContainerRecord& container, const Node& node) {
  nlohmann::json info = {{"sandboxID", container.pod_id},
                         {"pid", container.status.pid},
                         {"cgroup", container.cgroup},
                         {"layers", container.image.layers},
                         {"logDroppedBytes", container.status.log_dropped_bytes}};
  const absl::StatusOr<LaunchPlan> plan = node.ContainerPlan(container.id);
  if (plan.ok()) info["plan"] = DescribePlan(*plan);
  return info.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace

grpc::Status RuntimeService::ContainerStatus(grpc::ServerContext* context,
                                             const cri::ContainerStatusRequest* request,
                                             cri::ContainerStatusResponse* response) {
  return calls_.Serve("ContainerStatus", context, [&]() -> absl::Status {
    ASSIGN_OR_RETURN(const ContainerPtr container, node_.FindContainer(request->container_id()));
    FillContainerStatus(*container, response->mutable_status());
    if (request->verbose()) (*response->mutable_info())["info"] = InfoJson(*container, node_);
    return absl::OkStatus();
  });
}

}  // namespace berth
