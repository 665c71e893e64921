#include "src/base/status_macros.h"
#include "src/server/convert/stats_replies.h"
#include "src/server/runtime_service.h"

namespace berth {

namespace cri = runtime::v1;

grpc::Status RuntimeService::ListPodSandboxStats(grpc::ServerContext* context,
                                                 const cri::ListPodSandboxStatsRequest* request,
                                                 cri::ListPodSandboxStatsResponse* response) {
  return calls_.Serve("ListPodSandboxStats", context, [&]() -> absl::Status {
    const std::shared_ptr<const PodSamples> pods = sampler_.Pods();
    const std::map<std::string, ContainerSamples> containers = ByPod(*sampler_.Containers());
    for (const auto& sample : *pods) {
      if (!Matches(request->filter(), *sample->pod)) continue;
      FillStats(*sample, ContainersOf(containers, sample->pod->id), response->add_stats());
    }
    return absl::OkStatus();
  });
}

}  // namespace berth
