// Samples as CRI messages. Pure. What was not read is left unset.
#pragma once

#include <string>

#include "cri/runtime/v1/api.pb.h"
#include "src/sandbox/node.h"
#include "src/sandbox/stats_sampler.h"

namespace berth {

// `layer` is of the writable layer, whose file system is mounted at or above `mountpoint`.
void FillContainerStats(const ContainerSample& sample, const std::optional<Node::LayerUsage>& layer,
                        const std::string& mountpoint, runtime::v1::ContainerStats* out);

// All but the stats of its containers.
void FillPodSandboxStats(const PodSample& sample, runtime::v1::PodSandboxStats* out);

bool Matches(const runtime::v1::PodSandboxStatsFilter& filter, const PodRecord& pod);

}  // namespace berth
