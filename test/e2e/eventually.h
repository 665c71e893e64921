// Waiting for a state that nothing announces: polls with a deadline. Only for what the API has no
// event for.
#pragma once

#include <functional>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "src/base/steady_time.h"

namespace berth::e2e {

// True as soon as `holds` is; false once `patience` is over.
inline bool Eventually(absl::Duration patience, const std::function<bool()>& holds) {
  constexpr absl::Duration kInterval = absl::Milliseconds(5);
  for (const absl::Time deadline = SteadyNow() + patience; !holds(); absl::SleepFor(kInterval)) {
    if (SteadyNow() > deadline) return false;
  }
  return true;
}

}  // namespace berth::e2e
