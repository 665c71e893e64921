#include "src/base/status_macros.h"
#include "src/server/convert/replies.h"
#include "src/server/convert/verbose_info.h"
#include "src/server/runtime_service.h"

namespace berth {

namespace cri = runtime::v1;
namespace {

// What cannot be told is left out: the status itself can.
std::string InfoJson(const ContainerRecord& container, const Node& node) {
  const absl::StatusOr<LaunchPlan> plan = node.ContainerPlan(container.id);
  return ContainerInfoJson(container, plan.ok() ? DescribePlan(*plan) : std::vector<std::string>(),
                           node.ContainerOciSpec(container.id).value_or(""));
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
