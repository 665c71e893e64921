#include "src/base/status_macros.h"
#include "src/sandbox/streaming/stream_service.h"
#include "src/server/convert/session_request.h"
#include "src/server/runtime_service.h"

namespace berth {

namespace cri = runtime::v1;

grpc::Status RuntimeService::PortForward(grpc::ServerContext* context,
                                         const cri::PortForwardRequest* request,
                                         cri::PortForwardResponse* response) {
  return calls_.Serve("PortForward", context, [&]() -> absl::Status {
    ASSIGN_OR_RETURN(SessionRequest session, ParsePortForwardRequest(*request));
    ASSIGN_OR_RETURN(session.id, node_.CheckPortForward(session.id));
    ASSIGN_OR_RETURN(*response->mutable_url(), UrlFor(std::move(session)));
    return absl::OkStatus();
  });
}

}  // namespace berth
