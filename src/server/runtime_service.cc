#include "src/server/runtime_service.h"

#include <grpcpp/support/method_handler.h>

#include <functional>
#include <utility>

namespace berth {
namespace {

using RawHandler = grpc::internal::StreamedUnaryHandler<grpc::ByteBuffer, grpc::ByteBuffer>;

// Places of rpcs among those of their service in api.proto, which is what gRPC knows them by.
constexpr int kListPodSandbox = 5, kListContainers = 11, kListContainerStats = 21,
              kListPodSandboxStats = 24;

}  // namespace

RuntimeService::RuntimeService(Node& node, const Config& config, const Calls& calls,
                               Observers observers, RequestPolicy policy, StreamService* streams)
    : node_(node),
      config_(config),
      calls_(calls),
      sampler_(observers.sampler),
      events_(observers.events),
      policy_(std::move(policy)),
      streams_(streams) {
  // "Streamed unary" is one message each way, as before; only a stream's types are the server's
  // choice, and bytes are one.
  const auto answer_with_bytes = [this](int rpc, auto method) {
    MarkMethodStreamed(rpc, new RawHandler(std::bind_front(method, this)));
  };
  answer_with_bytes(kListPodSandbox, &RuntimeService::ListPodSandbox);
  answer_with_bytes(kListContainers, &RuntimeService::ListContainers);
  answer_with_bytes(kListContainerStats, &RuntimeService::ListContainerStats);
  answer_with_bytes(kListPodSandboxStats, &RuntimeService::ListPodSandboxStats);
}

}  // namespace berth
