// ListMetricDescriptors and ListPodSandboxMetrics: the table of container_metrics.h as CRI
// messages.
#include "src/server/container_metrics.h"
#include "src/server/convert/metrics_replies.h"
#include "src/server/runtime_service.h"

namespace berth {

namespace cri = runtime::v1;

grpc::Status RuntimeService::ListMetricDescriptors(grpc::ServerContext* context,
                                                   const cri::ListMetricDescriptorsRequest*,
                                                   cri::ListMetricDescriptorsResponse* response) {
  return calls_.Serve("ListMetricDescriptors", context, [&]() -> absl::Status {
    for (const MetricFamily& family : ContainerMetricFamilies())
      FillDescriptor(family, response->add_descriptors());
    return absl::OkStatus();
  });
}

std::vector<cri::PodSandboxMetrics> RuntimeService::ReadMetrics() const {
  const std::shared_ptr<const PodSamples> pods = sampler_.Pods();
  const std::shared_ptr<const DetailsById> details = sampler_.Details();
  const absl::StatusOr<FileSystemFacts> file_system = node_.DataFileSystem();
  std::vector<cri::PodSandboxMetrics> all;
  for (const auto& pod : *pods) {
    FillPodMetrics(*pod, &all.emplace_back());
    for (const auto& sample : pod->containers) {
      const auto found = details->find(sample->container->id);
      FillContainerMetrics({.sample = sample.get(),
                            .details = found == details->end() ? nullptr : &found->second,
                            .layer = node_.WritableLayerUsage(sample->container->id),
                            .file_system = file_system.ok() ? &*file_system : nullptr},
                           *pod, all.back().add_container_metrics());
    }
  }
  return all;
}

grpc::Status RuntimeService::ListPodSandboxMetrics(grpc::ServerContext* context,
                                                   const cri::ListPodSandboxMetricsRequest*,
                                                   cri::ListPodSandboxMetricsResponse* response) {
  return calls_.Serve("ListPodSandboxMetrics", context, [&]() -> absl::Status {
    for (cri::PodSandboxMetrics& metrics : ReadMetrics())
      *response->add_pod_metrics() = std::move(metrics);
    return absl::OkStatus();
  });
}

}  // namespace berth
