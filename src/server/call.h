// What surrounds each rpc: its status on the wire, its log line, its metrics. The one place that
// logs a failed call.
#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/status.h>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "src/base/log.h"
#include "src/metrics/daemon_metrics.h"

namespace berth {

class Calls {
 public:
  Calls(const Log& log, DaemonMetrics& metrics) : log_(log), metrics_(metrics) {}
  // Waits until no call is being served.
  void AwaitIdle(absl::Time deadline) const;
  grpc::Status Serve(absl::string_view operation, grpc::ServerContextBase* context,
                     absl::FunctionRef<absl::Status()> body) const;
  // The same, counted as a stream while it lasts.
  grpc::Status ServeStream(absl::string_view operation, grpc::ServerContextBase* context,
                           absl::FunctionRef<absl::Status()> body) const;
  struct InFlight {
    int calls = 0, streams = 0;
  };
  InFlight ReadInFlight() const;

 private:
  const Log& log_;
  DaemonMetrics& metrics_;
  mutable absl::Mutex mu_;
  mutable int in_flight_ ABSL_GUARDED_BY(mu_) = 0;  // streams included
  mutable int streams_ ABSL_GUARDED_BY(mu_) = 0;
};

// The deadline that the caller set, as time of SteadyNow, or InfiniteFuture.
absl::Time DeadlineOf(const grpc::ServerContext& context);

}  // namespace berth
