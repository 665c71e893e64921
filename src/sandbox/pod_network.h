// Which pods may be given a network that was made before them. Pure.
#pragma once

#include "src/sandbox/pod_config.h"

namespace berth {

bool MayBeMadeInAdvance(const PodConfig& config);

}  // namespace berth
