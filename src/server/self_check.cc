#include "src/server/self_check.h"

#include <grpc/support/time.h>
#include <grpcpp/create_channel.h>

#include "absl/strings/str_cat.h"
#include "cri/runtime/v1/api.grpc.pb.h"

namespace berth {

absl::Status CheckServing(const std::string& path, absl::Duration patience) {
  // Otherwise gRPC would take the connection of the check before.
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  const auto stub = runtime::v1::RuntimeService::NewStub(grpc::CreateCustomChannel(
      absl::StrCat("unix:", path), grpc::InsecureChannelCredentials(), arguments));
  grpc::ClientContext context;
  context.set_deadline(
      gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
                   gpr_time_from_millis(absl::ToInt64Milliseconds(patience), GPR_TIMESPAN)));
  runtime::v1::StatusResponse response;
  const grpc::Status status = stub->Status(&context, {}, &response);
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
}

}  // namespace berth
