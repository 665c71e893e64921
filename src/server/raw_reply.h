// Rpcs that answer with bytes that are there already, instead of a message.
#pragma once

#include <grpcpp/impl/codegen/proto_utils.h>
#include <grpcpp/server_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/sync_stream.h>

#include "absl/functional/function_ref.h"
#include "src/server/call.h"

namespace berth {

using RawUnary = grpc::ServerUnaryStreamer<grpc::ByteBuffer, grpc::ByteBuffer>;

// Reads the request and answers with the bytes that `body` makes of it.
template <typename Request>
grpc::Status ServeRaw(const Calls& calls, absl::string_view operation, grpc::ServerContext* context,
                      RawUnary* stream,
                      absl::FunctionRef<grpc::Slice(const Request& request)> body) {
  return calls.Serve(operation, context, [&]() -> absl::Status {
    grpc::ByteBuffer bytes;
    Request parsed;
    if (!stream->Read(&bytes) ||
        !grpc::SerializationTraits<Request>::Deserialize(&bytes, &parsed).ok())
      return absl::InvalidArgumentError("the request is no message of its type");
    const grpc::Slice slice = body(parsed);
    // The status goes out with it.
    return stream->Write(grpc::ByteBuffer(&slice, 1), grpc::WriteOptions().set_last_message())
               ? absl::OkStatus()
               : absl::CancelledError("the client is gone");
  });
}

}  // namespace berth
