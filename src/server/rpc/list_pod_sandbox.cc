#include "src/base/status_macros.h"
#include "src/server/convert/replies.h"
#include "src/server/convert/requests.h"
#include "src/server/runtime_service.h"

namespace berth {

namespace cri = runtime::v1;

grpc::Status RuntimeService::ListPodSandbox(grpc::ServerContext* context,
                                            const cri::ListPodSandboxRequest* request,
                                            cri::ListPodSandboxResponse* response) {
  return calls_.Serve("ListPodSandbox", context, [&]() -> absl::Status {
    const std::shared_ptr<const NodeSnapshot> snapshot = node_.Snapshot();
    for (const auto& [id, pod] : snapshot->pods) {
      if (Matches(request->filter(), *pod)) FillPodSandbox(*pod, response->add_items());
    }
    return absl::OkStatus();
  });
}

}  // namespace berth
