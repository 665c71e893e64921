// -i, -t and --detach-keys of run and exec, and the session that they ask for.
#pragma once

#include <string>

#include "src/cli/stream_session.h"

namespace CLI {
class App;
}

namespace berth::cli {

struct InteractiveFlags {
  bool stdin_open = false;
  bool tty = false;
  std::string detach_keys;
};

void AddInteractiveFlags(CLI::App& command, InteractiveFlags* flags);
void AddDetachKeys(CLI::App& command, std::string* keys);

// FailedPrecondition where -i and -t meet an input that is no terminal; InvalidArgument for
// malformed detach keys. To be asked before anything is made.
absl::Status CheckInteractive(const InteractiveFlags& flags);

// `url` is empty in the result.
SessionOptions SessionOptionsOf(const InteractiveFlags& flags);

}  // namespace berth::cli
