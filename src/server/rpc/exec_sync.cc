#include "src/base/status_macros.h"
#include "src/server/runtime_service.h"

namespace berth {

namespace cri = runtime::v1;
namespace {

// The kubelet receives at most 16 MiB in one message: both outputs and what is around them must
// fit.
constexpr size_t kMaxOutputBytes = (16 << 20) - (65 << 10);

}  // namespace

grpc::Status RuntimeService::ExecSync(grpc::ServerContext* context,
                                      const cri::ExecSyncRequest* request,
                                      cri::ExecSyncResponse* response) {
  return calls_.Serve("ExecSync", context, [&]() -> absl::Status {
    if (request->timeout() < 0) return absl::InvalidArgumentError("timeout: is negative");
    ASSIGN_OR_RETURN(
        ExecResult result,
        node_.ExecSync(request->container_id(), {request->cmd().begin(), request->cmd().end()},
                       {.timeout = absl::Seconds(request->timeout()),
                        .max_output_bytes = kMaxOutputBytes,
                        .cancelled = [context] { return context->IsCancelled(); }}));
    response->set_stdout(std::move(result.output));
    response->set_stderr(std::move(result.error_output));
    response->set_exit_code(result.exit_code);
    return absl::OkStatus();
  });
}

}  // namespace berth
