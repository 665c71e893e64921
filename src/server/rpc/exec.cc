#include "src/base/status_macros.h"
#include "src/sandbox/streaming/stream_service.h"
#include "src/server/convert/session_request.h"
#include "src/server/runtime_service.h"

namespace berth {

namespace cri = runtime::v1;

absl::StatusOr<std::string> RuntimeService::UrlFor(SessionRequest session) const {
  if (streams_ != nullptr) return streams_->UrlFor(std::move(session));
  return absl::FailedPreconditionError("streaming is turned off (stream.listen)");
}

grpc::Status RuntimeService::Exec(grpc::ServerContext* context, const cri::ExecRequest* request,
                                  cri::ExecResponse* response) {
  return calls_.Serve("Exec", context, [&]() -> absl::Status {
    ASSIGN_OR_RETURN(SessionRequest session, ParseExecRequest(*request));
    ASSIGN_OR_RETURN(session.id, node_.CheckExec(session.id, session.command));
    ASSIGN_OR_RETURN(*response->mutable_url(), UrlFor(std::move(session)));
    return absl::OkStatus();
  });
}

}  // namespace berth
