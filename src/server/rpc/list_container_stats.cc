#include "src/base/status_macros.h"
#include "src/server/convert/replies.h"
#include "src/server/convert/requests.h"
#include "src/server/runtime_service.h"

namespace berth {

namespace cri = runtime::v1;

grpc::Status RuntimeService::ListContainerStats(grpc::ServerContext* context,
                                                const cri::ListContainerStatsRequest* request,
                                                cri::ListContainerStatsResponse* response) {
  return calls_.Serve("ListContainerStats", context, [&]() -> absl::Status {
    const std::shared_ptr<const NodeSnapshot> snapshot = node_.Snapshot();
    for (const auto& [id, container] : snapshot->containers) {
      if (container->status.state == ContainerState::kExited ||
          !Matches(request->filter(), *container))
        continue;
      FillStats(*container, response->add_stats());
    }
    absl::MutexLock lock(&mu_);
    absl::erase_if(cpu_samples_, [&](const auto& sample) {
      return snapshot->containers.count(sample.first) == 0;
    });
    return absl::OkStatus();
  });
}

}  // namespace berth
