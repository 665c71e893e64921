// A program that could not be exec'ed, as a status that says what a shell would exit with.
#pragma once

#include <string>

#include "absl/status/status.h"

namespace berth {

// NotFound (ENOENT) or what the errno means; the text is for users.
absl::Status ExecFailure(const std::string& file, int error);

// 127: the program is not there; 126: it cannot be run; 0: `status` is no ExecFailure.
int ExecFailureCode(const absl::Status& status);

}  // namespace berth
