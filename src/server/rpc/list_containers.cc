#include "src/base/status_macros.h"
#include "src/server/convert/replies.h"
#include "src/server/convert/requests.h"
#include "src/server/runtime_service.h"

namespace berth {

namespace cri = runtime::v1;

grpc::Status RuntimeService::ListContainers(grpc::ServerContext* context,
                                            const cri::ListContainersRequest* request,
                                            cri::ListContainersResponse* response) {
  return calls_.Serve("ListContainers", context, [&]() -> absl::Status {
    const std::shared_ptr<const NodeSnapshot> snapshot = node_.Snapshot();
    for (const auto& [id, container] : snapshot->containers) {
      if (Matches(request->filter(), *container))
        FillContainer(*container, response->add_containers());
    }
    return absl::OkStatus();
  });
}

}  // namespace berth
