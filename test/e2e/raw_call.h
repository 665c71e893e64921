// Calls with bytes instead of messages: requests that no generated stub would send, and services
// that the harness has no stubs for. Thread-safe.
#pragma once

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace berth::e2e {

class RawCaller {
 public:
  explicit RawCaller(const std::string& socket);

  // `method` is "/package.Service/Method". All answers of a stream; the one answer of another call.
  absl::StatusOr<std::vector<std::string>> Call(const std::string& method,
                                                const std::string& request,
                                                absl::Duration timeout = absl::Minutes(1));
  // The first answer of a stream, which is cancelled then.
  absl::StatusOr<std::string> First(const std::string& method, const std::string& request,
                                    absl::Duration timeout = absl::Minutes(1));

 private:
  std::shared_ptr<grpc::Channel> channel_;
  grpc::GenericStub stub_;
};

}  // namespace berth::e2e
