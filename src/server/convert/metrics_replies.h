// The table of container metrics as CRI messages. Pure.
#pragma once

#include "cri/runtime/v1/api.pb.h"
#include "src/server/container_metrics.h"

namespace berth {

void FillDescriptor(const MetricFamily& family, runtime::v1::MetricDescriptor* out);
void FillContainerMetrics(const ContainerFacts& facts, const PodSample& pod,
                          runtime::v1::ContainerMetrics* out);
// Those of the pod itself: its network. Not those of its containers.
void FillPodMetrics(const PodSample& pod, runtime::v1::PodSandboxMetrics* out);

}  // namespace berth
