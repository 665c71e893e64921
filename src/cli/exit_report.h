// How a session ended, from the JSON on its error channel (remotecommand v4: a metav1.Status).
// Pure.
#pragma once

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace berth::cli {

// The exit code of what ran; 0 for success. An error says why it did not run or could not be told.
absl::StatusOr<int> ParseExitReport(absl::string_view json);

}  // namespace berth::cli
