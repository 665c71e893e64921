// -i and -t of run and exec: known, and answered clearly for as long as Berth serves no interactive
// sessions.
#pragma once

#include "absl/status/status.h"

namespace CLI {
class App;
}

namespace berth::cli {

struct InteractiveFlags {
  bool stdin_open = false;
  bool tty = false;
};

void AddInteractiveFlags(CLI::App& command, InteractiveFlags* flags);

// Unimplemented if one of the flags was given.
absl::Status RefuseInteractive(const InteractiveFlags& flags);

}  // namespace berth::cli
