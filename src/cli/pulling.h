// Pulls an image and shows how it goes: live lines on a terminal, a line a change elsewhere.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "src/cli/client.h"
#include "src/cli/interrupt.h"
#include "src/cli/output.h"

namespace berth::cli {

// Returns the image id. Progress goes to output.err. After Ctrl-C: Cancelled with the exit code
// 130.
absl::StatusOr<std::string> PullWithProgress(Client& client, const v1::PullImageRequest& request,
                                             Interrupt& interrupt, Output& output);

}  // namespace berth::cli
