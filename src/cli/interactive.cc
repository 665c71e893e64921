#include "src/cli/interactive.h"

#include <CLI/CLI.hpp>

#include "src/cli/failure.h"

namespace berth::cli {

void AddInteractiveFlags(CLI::App& command, InteractiveFlags* flags) {
  command.add_flag("-i,--interactive", flags->stdin_open, "not served yet");
  command.add_flag("-t,--tty", flags->tty, "not served yet");
}

absl::Status RefuseInteractive(const InteractiveFlags& flags) {
  if (!flags.stdin_open && !flags.tty) return absl::OkStatus();
  return WithHint(absl::UnimplementedError("-i and -t: interactive sessions are not served yet"),
                  "run single commands with berth exec CONTAINER COMMAND, without -i and -t");
}

}  // namespace berth::cli
