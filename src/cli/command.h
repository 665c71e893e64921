// One command of `berth`: declares its options, then runs. The table of all commands is in
// commands.h.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "src/cli/output.h"

namespace CLI {
class App;
}

namespace berth::cli {

// What one start of `berth` was given beside the command's own options.
struct Invocation {
  Output& output;
  std::string socket;
  std::vector<std::string> container_command;  // run and exec: what follows IMAGE or CONTAINER
};

class Command {
 public:
  virtual ~Command() = default;
  // Adds options to `command`; they point into this object.
  virtual void Declare(CLI::App& command) = 0;
  // Returns the exit code. A failure's exit code is ExitCodeOf(status).
  virtual absl::StatusOr<int> Run(Invocation& invocation) = 0;
};

}  // namespace berth::cli
