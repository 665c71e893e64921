// Signals by the names that people, images and specifications give them.
#pragma once

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace berth {

// "SIGTERM", "term", "15", "RTMIN+3", "SIGRTMAX-1". InvalidArgument for what is no signal.
absl::StatusOr<int> ParseSignal(absl::string_view text);

}  // namespace berth
