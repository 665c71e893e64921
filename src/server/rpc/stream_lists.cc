// The lists as streams. Each takes its snapshot first and sends it in batches; an empty list sends
// nothing.
#include "src/base/status_macros.h"
#include "src/server/batches.h"
#include "src/server/convert/replies.h"
#include "src/server/convert/stats_replies.h"
#include "src/server/runtime_service.h"

namespace berth {

namespace cri = runtime::v1;

grpc::Status RuntimeService::StreamPodSandboxes(
    grpc::ServerContext* context, const cri::StreamPodSandboxesRequest* request,
    grpc::ServerWriter<cri::StreamPodSandboxesResponse>* writer) {
  return calls_.ServeStream("StreamPodSandboxes", context, [&]() -> absl::Status {
    Batches<cri::StreamPodSandboxesResponse> batches(writer);
    const std::shared_ptr<const NodeSnapshot> snapshot = node_.Snapshot();
    for (const auto& [id, pod] : snapshot->pods) {
      if (!Matches(request->filter(), *pod)) continue;
      RETURN_IF_ERROR(batches.Add([&pod = pod](cri::StreamPodSandboxesResponse& batch) {
        cri::PodSandbox* item = batch.add_pod_sandboxes();
        FillPodSandbox(*pod, item);
        return item->ByteSizeLong();
      }));
    }
    return batches.Flush();
  });
}

grpc::Status RuntimeService::StreamContainers(
    grpc::ServerContext* context, const cri::StreamContainersRequest* request,
    grpc::ServerWriter<cri::StreamContainersResponse>* writer) {
  return calls_.ServeStream("StreamContainers", context, [&]() -> absl::Status {
    Batches<cri::StreamContainersResponse> batches(writer);
    const std::shared_ptr<const NodeSnapshot> snapshot = node_.Snapshot();
    for (const auto& [id, container] : snapshot->containers) {
      if (!Matches(request->filter(), *container)) continue;
      RETURN_IF_ERROR(batches.Add([&container = container](cri::StreamContainersResponse& batch) {
        cri::Container* item = batch.add_containers();
        FillContainer(*container, item);
        return item->ByteSizeLong();
      }));
    }
    return batches.Flush();
  });
}

grpc::Status RuntimeService::StreamContainerStats(
    grpc::ServerContext* context, const cri::StreamContainerStatsRequest* request,
    grpc::ServerWriter<cri::StreamContainerStatsResponse>* writer) {
  return calls_.ServeStream("StreamContainerStats", context, [&]() -> absl::Status {
    Batches<cri::StreamContainerStatsResponse> batches(writer);
    const std::shared_ptr<const ContainerSamples> samples = sampler_.Containers();
    for (const auto& sample : *samples) {
      if (!Matches(request->filter(), *sample->container)) continue;
      RETURN_IF_ERROR(batches.Add([&](cri::StreamContainerStatsResponse& batch) {
        cri::ContainerStats* item = batch.add_container_stats();
        FillStats(*sample, item);
        return item->ByteSizeLong();
      }));
    }
    return batches.Flush();
  });
}

grpc::Status RuntimeService::StreamPodSandboxStats(
    grpc::ServerContext* context, const cri::StreamPodSandboxStatsRequest* request,
    grpc::ServerWriter<cri::StreamPodSandboxStatsResponse>* writer) {
  return calls_.ServeStream("StreamPodSandboxStats", context, [&]() -> absl::Status {
    Batches<cri::StreamPodSandboxStatsResponse> batches(writer);
    const std::shared_ptr<const PodSamples> pods = sampler_.Pods();
    for (const auto& sample : *pods) {
      if (!Matches(request->filter(), *sample->pod)) continue;
      RETURN_IF_ERROR(batches.Add([&](cri::StreamPodSandboxStatsResponse& batch) {
        cri::PodSandboxStats* item = batch.add_pod_sandbox_stats();
        FillStats(*sample, item);
        return item->ByteSizeLong();
      }));
    }
    return batches.Flush();
  });
}

grpc::Status RuntimeService::StreamPodSandboxMetrics(
    grpc::ServerContext* context, const cri::StreamPodSandboxMetricsRequest*,
    grpc::ServerWriter<cri::StreamPodSandboxMetricsResponse>* writer) {
  return calls_.ServeStream("StreamPodSandboxMetrics", context, [&]() -> absl::Status {
    Batches<cri::StreamPodSandboxMetricsResponse> batches(writer);
    for (cri::PodSandboxMetrics& metrics : ReadMetrics()) {
      RETURN_IF_ERROR(batches.Add([&](cri::StreamPodSandboxMetricsResponse& batch) {
        const size_t bytes = metrics.ByteSizeLong();
        *batch.add_pod_sandbox_metrics() = std::move(metrics);
        return bytes;
      }));
    }
    return batches.Flush();
  });
}

grpc::Status ImageService::StreamImages(grpc::ServerContext* context,
                                        const cri::StreamImagesRequest* request,
                                        grpc::ServerWriter<cri::StreamImagesResponse>* writer) {
  return calls_.ServeStream("StreamImages", context, [&]() -> absl::Status {
    Batches<cri::StreamImagesResponse> batches(writer);
    for (const Image& image : ImagesFor(images_, request->filter())) {
      RETURN_IF_ERROR(batches.Add([&](cri::StreamImagesResponse& batch) {
        cri::Image* item = batch.add_images();
        FillImage(image, item);
        return item->ByteSizeLong();
      }));
    }
    return batches.Flush();
  });
}

}  // namespace berth
