// Commands that take several objects: each one is tried, each failure is told.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "src/cli/failure.h"
#include "src/cli/output.h"

namespace berth::cli {

// Prints each object that `act` succeeded with to stdout, each failure to stderr ("berth: <verb>
// <object>:
// ..."), and returns the exit code: 1 if any failed.
template <typename Act>
int ForEach(absl::string_view verb, const std::vector<std::string>& objects, Output& output,
            Act act) {
  int code = 0;
  for (const std::string& object : objects) {
    const absl::Status status = act(object);
    if (status.ok()) {
      output.out << object << "\n" << std::flush;
      continue;
    }
    output.err << DescribeFailure(InContext(status, absl::StrCat(verb, " ", object)),
                                  output.err_colour)
               << std::flush;
    code = kExitFailure;
  }
  return code;
}

}  // namespace berth::cli
