// The frame of an rpc that answers with bytes that are there already, instead of a message.
#pragma once

#include <grpcpp/impl/codegen/proto_utils.h>
#include <grpcpp/server_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "src/server/call.h"

namespace berth {

// Parses `request` and answers with the bytes that `body` makes of it.
template <typename Request>
grpc::ServerUnaryReactor* ServeRaw(const Calls& calls, absl::string_view operation,
                                   grpc::CallbackServerContext* context,
                                   const grpc::ByteBuffer& request, grpc::ByteBuffer* response,
                                   absl::FunctionRef<grpc::Slice(const Request& request)> body) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  reactor->Finish(calls.Serve(operation, context, [&]() -> absl::Status {
    Request parsed;
    grpc::ByteBuffer bytes(request);  // deserialising takes it
    if (!grpc::SerializationTraits<Request>::Deserialize(&bytes, &parsed).ok())
      return absl::InvalidArgumentError("the request is no message of its type");
    const grpc::Slice slice = body(parsed);
    *response = grpc::ByteBuffer(&slice, 1);
    return absl::OkStatus();
  }));
  return reactor;
}

}  // namespace berth
