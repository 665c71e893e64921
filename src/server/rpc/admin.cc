// berth.v1.BerthService.
#include "src/base/status_macros.h"
#include "src/server/runtime_service.h"

namespace berth {

grpc::Status AdminService::PullImage(grpc::ServerContext* context,
                                     const berth::v1::PullImageRequest* request,
                                     grpc::ServerWriter<berth::v1::PullImageProgress>* writer) {
  return calls_.Serve("BerthPullImage", context, [&]() -> absl::Status {
    const auto progress = [&](const PullProgress& from) {
      berth::v1::PullImageProgress message;
      message.set_layer(from.layer);
      message.set_state(from.state);
      message.set_bytes(from.bytes);
      message.set_total_bytes(from.total_bytes);
      writer->Write(message);  // a caller that is gone is seen by IsCancelled
    };
    OperationLog::Operation operation =
        operations_.Begin("PullImage", {.name = request->reference()});
    const absl::StatusOr<std::string> id =
        images_.Pull({.reference = request->reference(),
                      .auth = {.username = request->username(), .password = request->password()},
                      .progress = progress,
                      .cancelled = [context] { return context->IsCancelled(); }});
    RETURN_IF_ERROR(operation.End(id.status()));
    berth::v1::PullImageProgress last;
    last.set_state("done");
    last.set_image_id(*id);
    writer->Write(last);
    return absl::OkStatus();
  });
}

grpc::Status AdminService::ContainerPlan(grpc::ServerContext* context,
                                         const berth::v1::ContainerPlanRequest* request,
                                         berth::v1::ContainerPlanResponse* response) {
  return calls_.Serve("ContainerPlan", context, [&]() -> absl::Status {
    ASSIGN_OR_RETURN(const LaunchPlan plan, node_.ContainerPlan(request->container_id()));
    for (std::string& step : DescribePlan(plan)) response->add_steps(std::move(step));
    return absl::OkStatus();
  });
}

}  // namespace berth
