// Separates berth's own arguments from the command line that a container is to run. Pure.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace berth::cli {

// Whether the option "--name" or "-n" of the program takes a value.
using TakesValue = std::function<bool(absl::string_view option)>;

// Index of the first argument from `from` on that is neither an option nor an option's value; the
// size if there is none. "--" ends the options.
size_t FindPositional(const std::vector<std::string>& arguments, size_t from,
                      const TakesValue& takes_value);

}  // namespace berth::cli
