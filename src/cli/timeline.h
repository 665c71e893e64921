// The operations on an object as a person reads them: one line each with its stages, and at the end
// the failure, its cause and a hint. Pure.
#pragma once

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "berth/v1/berth.pb.h"
#include "cri/runtime/v1/api.pb.h"

namespace berth::cli {

namespace cri = ::runtime::v1;

struct TimelineStyle {
  bool colour = false;
  absl::TimeZone zone;
};

// Lines with newlines. Text from outside is made safe.
std::string RenderTimeline(const v1::ListOperationsResponse& operations,
                           const TimelineStyle& style);

// The last failure that nothing of the same kind and subject has made good since; "" if there is
// none.
std::string RenderVerdict(const v1::ListOperationsResponse& operations, const TimelineStyle& style);

// How containers are or how they ended: a line each, and a hint where one has failed.
std::string RenderEnds(const std::vector<cri::ContainerStatus>& containers,
                       const TimelineStyle& style);

// "13.2 ms", "4.1 s".
std::string ShortDuration(absl::Duration duration);

}  // namespace berth::cli
