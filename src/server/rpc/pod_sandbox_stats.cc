#include "absl/strings/str_cat.h"
#include "src/base/status_macros.h"
#include "src/server/convert/stats_replies.h"
#include "src/server/runtime_service.h"

namespace berth {

namespace cri = runtime::v1;

void RuntimeService::FillStats(const PodSample& sample, cri::PodSandboxStats* out) const {
  FillPodSandboxStats(sample, out);
  for (const auto& container : sample.containers)
    FillStats(*container, out->mutable_linux()->add_containers());
}

grpc::Status RuntimeService::PodSandboxStats(grpc::ServerContext* context,
                                             const cri::PodSandboxStatsRequest* request,
                                             cri::PodSandboxStatsResponse* response) {
  return calls_.Serve("PodSandboxStats", context, [&]() -> absl::Status {
    ASSIGN_OR_RETURN(const PodPtr pod, node_.FindPod(request->pod_sandbox_id()));
    const std::shared_ptr<const PodSamples> samples = sampler_.Pods();
    for (const auto& sample : *samples) {
      if (sample->pod->id != pod->id) continue;
      FillStats(*sample, response->mutable_stats());
      return absl::OkStatus();
    }
    return absl::UnavailableError(absl::StrCat("pod sandbox ", pod->id, " is not ready"));
  });
}

}  // namespace berth
