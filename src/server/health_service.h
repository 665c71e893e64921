// grpc.health.v1: whether the server and each of its services serve. Of our own, because gRPC's
// needs threads that poll beside those of the calls (ADR 0013). Thread-safe.
#pragma once

#include <string>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "health/v1/health.grpc.pb.h"

namespace berth {

class HealthService final : public grpc::health::v1::Health::Service {
 public:
  // All of `services` serve.
  explicit HealthService(std::vector<std::string> services) : services_(std::move(services)) {}
  // From now on nothing serves.
  void Stop();

  grpc::Status Check(grpc::ServerContext* context,
                     const grpc::health::v1::HealthCheckRequest* request,
                     grpc::health::v1::HealthCheckResponse* response) override;
  grpc::Status Watch(grpc::ServerContext* context,
                     const grpc::health::v1::HealthCheckRequest* request,
                     grpc::ServerWriter<grpc::health::v1::HealthCheckResponse>* writer) override;

 private:
  // The server as a whole is "".
  bool Knows(const std::string& service) const;

  const std::vector<std::string> services_;
  absl::Mutex mu_;
  bool stopped_ ABSL_GUARDED_BY(mu_) = false;
  int watchers_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace berth
