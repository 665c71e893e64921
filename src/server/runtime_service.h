// runtime.v1.RuntimeService and ImageService. Each rpc is a file in rpc/, named after it. What is
// not overridden here answers UNIMPLEMENTED.
#pragma once

#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"
#include "berth/v1/berth.grpc.pb.h"
#include "cri/runtime/v1/api.grpc.pb.h"
#include "src/sandbox/node.h"
#include "src/server/call.h"
#include "src/server/config.h"
#include "src/server/convert/request_policy.h"

namespace berth {

class StreamService;
struct SessionRequest;

inline constexpr char kVersion[] = "0.1.0";

#define BERTH_RPC(name)                                                                      \
  grpc::Status name(grpc::ServerContext* context, const runtime::v1::name##Request* request, \
                    runtime::v1::name##Response* response) override

class RuntimeService final : public runtime::v1::RuntimeService::Service {
 public:
  // Without `streams` the streaming service is off.
  RuntimeService(Node& node, const Config& config, const Calls& calls, RequestPolicy policy = {},
                 StreamService* streams = nullptr)
      : node_(node),
        config_(config),
        calls_(calls),
        policy_(std::move(policy)),
        streams_(streams) {}

  BERTH_RPC(Version);
  BERTH_RPC(Status);
  BERTH_RPC(RuntimeConfig);
  BERTH_RPC(UpdateRuntimeConfig);
  BERTH_RPC(RunPodSandbox);
  BERTH_RPC(StopPodSandbox);
  BERTH_RPC(RemovePodSandbox);
  BERTH_RPC(PodSandboxStatus);
  BERTH_RPC(ListPodSandbox);
  BERTH_RPC(CreateContainer);
  BERTH_RPC(StartContainer);
  BERTH_RPC(StopContainer);
  BERTH_RPC(RemoveContainer);
  BERTH_RPC(ContainerStatus);
  BERTH_RPC(ListContainers);
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
  BERTH_RPC(ListContainerStats);

 private:
  // Fills the stats of a running container; `out` keeps only its attributes if it has just ended.
  void FillStats(const ContainerRecord& container, runtime::v1::ContainerStats* out);

  absl::StatusOr<std::string> UrlFor(SessionRequest session) const;

  struct CpuSample {
    int64_t at_ns = 0;
    uint64_t usage_ns = 0;
    std::optional<uint64_t> rate;  // nanocores
  };

  Node& node_;
  const Config& config_;
  const Calls& calls_;
  const RequestPolicy policy_;
  StreamService* const streams_;
  absl::Mutex mu_;
  absl::flat_hash_map<std::string, CpuSample> cpu_samples_ ABSL_GUARDED_BY(mu_);
};

class ImageService final : public runtime::v1::ImageService::Service {
 public:
  ImageService(Node& node, ImageStore& images, const Calls& calls)
      : node_(node), images_(images), calls_(calls) {}

  BERTH_RPC(ListImages);
  BERTH_RPC(ImageStatus);
  BERTH_RPC(PullImage);
  BERTH_RPC(RemoveImage);
  BERTH_RPC(ImageFsInfo);

 private:
  Node& node_;
  ImageStore& images_;
  const Calls& calls_;
};

#undef BERTH_RPC

// berth.v1.BerthService: what the CRI has no word for.
class AdminService final : public berth::v1::BerthService::Service {
 public:
  AdminService(Node& node, ImageStore& images, const Calls& calls)
      : node_(node), images_(images), calls_(calls) {}

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

 private:
  Node& node_;
  ImageStore& images_;
  const Calls& calls_;
};

}  // namespace berth
