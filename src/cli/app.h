// The whole of `berth` as one call, so that tests run it as a shell does.
#pragma once

#include <string>
#include <vector>

#include "src/cli/output.h"

namespace berth::cli {

// `arguments` without the program's name. Returns the exit code; failures are written to
// output.err.
int RunBerth(const std::vector<std::string>& arguments, Output& output);

}  // namespace berth::cli
