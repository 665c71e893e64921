// What to do about an error, in a sentence. Pure.
#pragma once

#include <string>

#include "absl/strings/string_view.h"

namespace berth::cli {

// For an operation ("StartContainer") that failed in `stage` with `message`; "" where nothing is
// known to say.
std::string HintFor(absl::string_view operation, absl::string_view stage,
                    absl::string_view message);

// For a container that ended with this reason and exit code.
std::string HintForEnd(absl::string_view reason, int exit_code);

}  // namespace berth::cli
