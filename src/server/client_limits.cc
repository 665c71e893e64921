#include "src/server/client_limits.h"

#include <grpcpp/resource_quota.h>

#include <algorithm>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "absl/synchronization/notification.h"
#include "src/base/start_thread.h"
#include "src/server/malformed_request.h"

namespace berth {
namespace {

constexpr int kMaxReceiveBytes = 16 << 20;
constexpr int kMaxCalls = 1000;    // of one connection at once; more wait for their turn
constexpr int kMaxThreads = 2000;  // a call that waits keeps one; more are RESOURCE_EXHAUSTED
// As many calls at once as were served before need no thread more, which there may not be (EAGAIN).
constexpr int kMaxIdleThreads = 32;
// Clients of gRPC's C core look at an idle connection every five seconds.
constexpr absl::Duration kMaxKeepaliveTimeout = absl::Seconds(20);

}  // namespace

void BoundClients(absl::Duration keepalive, grpc::ServerBuilder* builder) {
  builder->SetMaxReceiveMessageSize(kMaxReceiveBytes);
  builder->SetMaxSendMessageSize(-1);
  builder->AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kMaxCalls);
  builder->AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS,
                              static_cast<int>(absl::ToInt64Milliseconds(keepalive)));
  builder->AddChannelArgument(
      GRPC_ARG_KEEPALIVE_TIMEOUT_MS,
      static_cast<int>(absl::ToInt64Milliseconds(std::min(keepalive, kMaxKeepaliveTimeout))));
  builder->AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder->AddChannelArgument(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);  // no limit
  // Measures how fast a network is, by pings and a timer at each message: this one is a socket.
  builder->AddChannelArgument(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  builder->SetSyncServerOption(grpc::ServerBuilder::MAX_POLLERS, kMaxIdleThreads);
  grpc::ResourceQuota quota("cri");
  quota.SetMaxThreads(kMaxThreads);
  builder->SetResourceQuota(quota);
  std::vector<std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>> interceptors;
  interceptors.push_back(RefuseMalformedRequests());
  builder->experimental().SetInterceptorCreators(std::move(interceptors));
}

absl::Status CheckRoomForThreads() {
  absl::Notification enough;
  std::vector<std::thread> threads;
  absl::Status room;
  for (int i = 0; i < kMaxIdleThreads && room.ok(); ++i) {
    absl::StatusOr<std::thread> thread =
        StartThread("to serve", [&enough] { enough.WaitForNotification(); });
    room = thread.status();
    if (thread.ok()) threads.push_back(*std::move(thread));
  }
  enough.Notify();
  for (std::thread& thread : threads) thread.join();
  return room;
}

// A connection takes two descriptors; as many again are for the work.
Listener::Limits ConnectionLimits(size_t max_connections, rlim_t descriptors) {
  Listener::Limits limits;
  limits.max_connections =
      std::min(max_connections, std::max<size_t>(8, static_cast<size_t>(descriptors) / 4));
  limits.max_silent =
      std::min(limits.max_silent, std::max<size_t>(8, static_cast<size_t>(descriptors) / 16));
  return limits;
}

}  // namespace berth
