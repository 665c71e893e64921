// Says INVALID_ARGUMENT to bytes that are no message of their type: gRPC itself says INTERNAL, as
// if the server were at fault. For ServerBuilder's interceptors.
#pragma once

#include <grpcpp/support/server_interceptor.h>

#include <memory>

namespace berth {

std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface> RefuseMalformedRequests();

}  // namespace berth
