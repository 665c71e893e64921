// The limits of a pod's traffic that its annotations ask for (kubernetes.io/ingress-bandwidth and
// egress-bandwidth). Pure.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "absl/status/statusor.h"

namespace berth {

struct PodBandwidth {
  uint64_t ingress_bits = 0, egress_bits = 0;  // a second; 0 for no limit
};

// Quantities of Kubernetes ("10M", "1.5Gi") from 1k to 1P. InvalidArgument names the annotation.
absl::StatusOr<PodBandwidth> ParsePodBandwidth(
    const std::map<std::string, std::string>& annotations);

}  // namespace berth
