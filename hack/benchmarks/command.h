// Runs a program to its end, for peers that are commands and not daemons.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"

namespace berth::bench {

// `argv[0]` is an absolute path. Its output is dropped, its stderr is ours. An exit code other than
// 0 is Internal.
absl::Status RunCommand(const std::vector<std::string>& argv);

// `name` in PATH; "" if there is no such program.
std::string FindProgram(const std::string& name);

}  // namespace berth::bench
