// runtime.v1.RuntimeService and ImageService. Each rpc is a file in rpc/, named after it. What is
// not overridden here answers UNIMPLEMENTED.
#pragma once

#include "berth/v1/berth.grpc.pb.h"
#include "cri/runtime/v1/api.grpc.pb.h"
#include "src/sandbox/node.h"
#include "src/sandbox/stats_sampler.h"
#include "src/server/call.h"
#include "src/server/config.h"
#include "src/server/convert/request_policy.h"
#include "src/server/event_log.h"
#include "src/server/event_streams.h"
#include "src/server/raw_reply.h"
#include "src/server/reply_cache.h"

namespace berth {

class StreamService;
struct SessionRequest;

inline constexpr char kVersion[] = "0.1.0";

#define BERTH_RPC(name)                                                                      \
  grpc::Status name(grpc::ServerContext* context, const runtime::v1::name##Request* request, \
                    runtime::v1::name##Response* response) override

// A list as a stream of batches.
#define BERTH_STREAM_RPC(name)                                                               \
  grpc::Status name(grpc::ServerContext* context, const runtime::v1::name##Request* request, \
                    grpc::ServerWriter<runtime::v1::name##Response>* writer) override
// Answered with bytes that are there already (RuntimeService's constructor says so to gRPC).
#define BERTH_RAW_RPC(name) grpc::Status name(grpc::ServerContext* context, RawUnary* stream)

class RuntimeService final : public runtime::v1::RuntimeService::Service {
 public:
  struct Observers {
    StatsSampler& sampler;
    EventStreams& events;
  };
  // Without `streams` the streaming service is off.
  RuntimeService(Node& node, const Config& config, const Calls& calls, Observers observers,
                 RequestPolicy policy = {}, StreamService* streams = nullptr);

  BERTH_RPC(Version);
  BERTH_RPC(Status);
  BERTH_RPC(RuntimeConfig);
  BERTH_RPC(UpdateRuntimeConfig);
  BERTH_RPC(RunPodSandbox);
  BERTH_RPC(StopPodSandbox);
  BERTH_RPC(RemovePodSandbox);
  BERTH_RPC(PodSandboxStatus);
  BERTH_RAW_RPC(ListPodSandbox);
  BERTH_STREAM_RPC(StreamPodSandboxes);
  BERTH_RPC(CreateContainer);
  BERTH_RPC(StartContainer);
  BERTH_RPC(StopContainer);
  BERTH_RPC(RemoveContainer);
  BERTH_RPC(ContainerStatus);
  BERTH_RAW_RPC(ListContainers);
  BERTH_STREAM_RPC(StreamContainers);
  BERTH_RPC(UpdateContainerResources);
  BERTH_RPC(UpdatePodSandboxResources);
  BERTH_RPC(ExecSync);
  BERTH_RPC(Exec);
  BERTH_RPC(Attach);
  BERTH_RPC(PortForward);
  BERTH_RPC(ReopenContainerLog);
  BERTH_RPC(CheckpointContainer);
  BERTH_RPC(CheckpointPod);
  BERTH_RPC(RestorePod);
  BERTH_RPC(ContainerStats);
  BERTH_RAW_RPC(ListContainerStats);
  BERTH_STREAM_RPC(StreamContainerStats);
  BERTH_RPC(PodSandboxStats);
  BERTH_RAW_RPC(ListPodSandboxStats);
  BERTH_STREAM_RPC(StreamPodSandboxStats);
  BERTH_RPC(ListMetricDescriptors);
  BERTH_RPC(ListPodSandboxMetrics);
  BERTH_STREAM_RPC(StreamPodSandboxMetrics);
  grpc::Status GetContainerEvents(
      grpc::ServerContext* context, const runtime::v1::GetEventsRequest* request,
      grpc::ServerWriter<runtime::v1::ContainerEventResponse>* writer) override;

 private:
  void FillStats(const ContainerSample& sample, runtime::v1::ContainerStats* out) const;
  void FillStats(const PodSample& sample, runtime::v1::PodSandboxStats* out) const;
  std::vector<runtime::v1::PodSandboxMetrics> ReadMetrics() const;
  absl::StatusOr<std::string> UrlFor(SessionRequest session) const;

  Node& node_;
  const Config& config_;
  const Calls& calls_;
  StatsSampler& sampler_;
  EventStreams& events_;
  const RequestPolicy policy_;
  StreamService* const streams_;
  ReplyCache containers_{runtime::v1::ListContainersResponse::kContainersFieldNumber,
                         std::make_unique<runtime::v1::Container>()};
  ReplyCache pods_{runtime::v1::ListPodSandboxResponse::kItemsFieldNumber,
                   std::make_unique<runtime::v1::PodSandbox>()};
  ReplyCache container_stats_{runtime::v1::ListContainerStatsResponse::kStatsFieldNumber,
                              std::make_unique<runtime::v1::ContainerStats>()};
  ReplyCache pod_stats_{runtime::v1::ListPodSandboxStatsResponse::kStatsFieldNumber,
                        std::make_unique<runtime::v1::PodSandboxStats>()};
};

class ImageService final : public runtime::v1::ImageService::Service {
 public:
  ImageService(Node& node, ImageStore& images, const Calls& calls, OperationLog& operations)
      : node_(node), images_(images), calls_(calls), operations_(operations) {}

  BERTH_RPC(ListImages);
  BERTH_STREAM_RPC(StreamImages);
  BERTH_RPC(ImageStatus);
  BERTH_RPC(PullImage);
  BERTH_RPC(RemoveImage);
  BERTH_RPC(ImageFsInfo);

 private:
  Node& node_;
  ImageStore& images_;
  const Calls& calls_;
  OperationLog& operations_;
};

#undef BERTH_RPC
#undef BERTH_STREAM_RPC
#undef BERTH_RAW_RPC

// berth.v1.BerthService: what the CRI has no word for.
class AdminService final : public berth::v1::BerthService::Service {
 public:
  AdminService(Node& node, ImageStore& images, const Calls& calls, OperationLog& operations,
               EventLog& events)
      : node_(node), images_(images), calls_(calls), operations_(operations), events_(events) {}

  grpc::Status PullImage(grpc::ServerContext* context, const berth::v1::PullImageRequest* request,
                         grpc::ServerWriter<berth::v1::PullImageProgress>* writer) override;
  grpc::Status ListPulls(grpc::ServerContext* context, const berth::v1::ListPullsRequest* request,
                         berth::v1::ListPullsResponse* response) override;
  grpc::Status InspectImage(grpc::ServerContext* context,
                            const berth::v1::InspectImageRequest* request,
                            berth::v1::InspectImageResponse* response) override;
  grpc::Status TagImage(grpc::ServerContext* context, const berth::v1::TagImageRequest* request,
                        berth::v1::TagImageResponse* response) override;
  grpc::Status UntagImage(grpc::ServerContext* context, const berth::v1::UntagImageRequest* request,
                          berth::v1::UntagImageResponse* response) override;
  grpc::Status VerifyImages(grpc::ServerContext* context,
                            const berth::v1::VerifyImagesRequest* request,
                            grpc::ServerWriter<berth::v1::VerifyImagesResponse>* writer) override;
  grpc::Status CollectGarbage(grpc::ServerContext* context,
                              const berth::v1::CollectGarbageRequest* request,
                              berth::v1::CollectGarbageResponse* response) override;
  grpc::Status CopyOut(grpc::ServerContext* context, const berth::v1::CopyOutRequest* request,
                       grpc::ServerWriter<berth::v1::CopyOutResponse>* writer) override;
  grpc::Status CopyIn(grpc::ServerContext* context,
                      grpc::ServerReader<berth::v1::CopyInRequest>* reader,
                      berth::v1::CopyInResponse* response) override;
  grpc::Status ContainerPlan(grpc::ServerContext* context,
                             const berth::v1::ContainerPlanRequest* request,
                             berth::v1::ContainerPlanResponse* response) override;
  grpc::Status ListOperations(grpc::ServerContext* context,
                              const berth::v1::ListOperationsRequest* request,
                              berth::v1::ListOperationsResponse* response) override;
  grpc::Status WatchEvents(grpc::ServerContext* context,
                           const berth::v1::WatchEventsRequest* request,
                           grpc::ServerWriter<berth::v1::WatchEventsResponse>* writer) override;

 private:
  Node& node_;
  ImageStore& images_;
  const Calls& calls_;
  OperationLog& operations_;
  EventLog& events_;
};

}  // namespace berth
