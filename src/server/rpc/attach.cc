#include "src/base/status_macros.h"
#include "src/sandbox/streaming/stream_service.h"
#include "src/server/convert/session_request.h"
#include "src/server/runtime_service.h"

namespace berth {

namespace cri = runtime::v1;

grpc::Status RuntimeService::Attach(grpc::ServerContext* context, const cri::AttachRequest* request,
                                    cri::AttachResponse* response) {
  return calls_.Serve("Attach", context, [&]() -> absl::Status {
    ASSIGN_OR_RETURN(SessionRequest session, ParseAttachRequest(*request));
    ASSIGN_OR_RETURN(session.id, node_.CheckAttach(session.id, session.streams.terminal));
    ASSIGN_OR_RETURN(*response->mutable_url(), UrlFor(std::move(session)));
    return absl::OkStatus();
  });
}

}  // namespace berth
