#include "src/base/status_macros.h"
#include "src/server/convert/stats_replies.h"
#include "src/server/runtime_service.h"

namespace berth {

namespace cri = runtime::v1;

void RuntimeService::FillStats(const ContainerSample& sample, cri::ContainerStats* out) const {
  FillContainerStats(sample, node_.WritableLayerUsage(sample.container->id), node_.data_dir(), out);
}

grpc::Status RuntimeService::ContainerStats(grpc::ServerContext* context,
                                            const cri::ContainerStatsRequest* request,
                                            cri::ContainerStatsResponse* response) {
  return calls_.Serve("ContainerStats", context, [&]() -> absl::Status {
    ASSIGN_OR_RETURN(const ContainerPtr container, node_.FindContainer(request->container_id()));
    const std::shared_ptr<const ContainerSamples> samples = sampler_.Containers();
    for (const auto& sample : *samples) {
      if (sample->container->id != container->id) continue;
      FillStats(*sample, response->mutable_stats());
      return absl::OkStatus();
    }
    // It has ended: all that is left to tell is what it left on disk.
    ContainerSample ended;
    ended.container = container;
    FillStats(ended, response->mutable_stats());
    return absl::OkStatus();
  });
}

}  // namespace berth
