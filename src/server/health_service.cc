#include "src/server/health_service.h"

#include <algorithm>

#include "absl/cleanup/cleanup.h"
#include "src/base/steady_time.h"

namespace berth {
namespace {

namespace health = grpc::health::v1;

constexpr int kMaxWatchers = 64;  // each keeps a thread
constexpr absl::Duration kLookForWatcher = absl::Seconds(1);

}  // namespace

void HealthService::Stop() {
  absl::MutexLock lock(&mu_);
  stopped_ = true;
}

bool HealthService::Knows(const std::string& service) const {
  return service.empty() ||
         std::find(services_.begin(), services_.end(), service) != services_.end();
}

grpc::Status HealthService::Check(grpc::ServerContext*, const health::HealthCheckRequest* request,
                                  health::HealthCheckResponse* response) {
  if (!Knows(request->service()))
    return grpc::Status(grpc::StatusCode::NOT_FOUND, "no such service: " + request->service());
  absl::MutexLock lock(&mu_);
  response->set_status(stopped_ ? health::HealthCheckResponse::NOT_SERVING
                                : health::HealthCheckResponse::SERVING);
  return grpc::Status::OK;
}

grpc::Status HealthService::Watch(grpc::ServerContext* context,
                                  const health::HealthCheckRequest* request,
                                  grpc::ServerWriter<health::HealthCheckResponse>* writer) {
  bool stopped;
  {
    absl::MutexLock lock(&mu_);
    if (watchers_ >= kMaxWatchers)
      return grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED, "too many watch the health");
    ++watchers_;
    stopped = stopped_;
  }
  const auto gone = absl::MakeCleanup([this] {
    absl::MutexLock lock(&mu_);
    --watchers_;
  });
  const auto tell = [&] {
    health::HealthCheckResponse response;
    response.set_status(!Knows(request->service()) ? health::HealthCheckResponse::SERVICE_UNKNOWN
                        : stopped                  ? health::HealthCheckResponse::NOT_SERVING
                                                   : health::HealthCheckResponse::SERVING);
    return writer->Write(response);
  };
  bool listens = tell();
  while (listens && !context->IsCancelled()) {
    const bool told = stopped;
    {
      const auto changed = [&]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return stopped_ != told; };
      absl::MutexLock lock(&mu_);
      AwaitFor(mu_, absl::Condition(&changed), kLookForWatcher);
      stopped = stopped_;
    }
    if (stopped != told && Knows(request->service())) listens = tell();
  }
  return grpc::Status(grpc::StatusCode::CANCELLED, "the client is gone");
}

}  // namespace berth
