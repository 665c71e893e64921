// The manual page of a program, from the CLI11 tree that parses its command line. Pure.
#pragma once

#include <string>

#include "src/command_line/roff.h"

namespace CLI {
class App;
}

namespace berth {

// Options and commands with an empty group are hidden, as in its --help. `more` are further
// sections in roff, which follow.
std::string ManPage(const CLI::App& program, const ManTitle& title, absl::string_view more);

}  // namespace berth
