// From what was asked for and what the image says to what the planner takes. Pure.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "src/sandbox/records.h"

namespace berth {

// InvalidArgument: no command, a NUL or an unusable path. The seccomp program is left for the
// caller to fill in.
absl::StatusOr<ContainerSpec> BuildContainerSpec(const ContainerRecord& container,
                                                 const PodRecord& pod);

// The command of an exec in the container, with its environment, directory and identity.
absl::StatusOr<ExecSpec> BuildExecSpec(const ContainerRecord& container, const PodRecord& pod,
                                       const std::vector<std::string>& command);

// "SIGTERM", "TERM", "15"; "" is 0. InvalidArgument for what is no signal.
absl::StatusOr<int> ParseStopSignal(absl::string_view text);

}  // namespace berth
