// Terminals: handing a container's over to whoever asked for it, or tying it to the caller's own
// until the process ends.
#pragma once

#include <sys/types.h>

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "src/base/unique_fd.h"
#include "src/oci/oci_config.h"

namespace berth::oci {

// Sends the master over the unix socket at `path` (SCM_RIGHTS), as --console-socket of runc(8)
// expects it.
absl::Status SendConsole(const std::string& path, const UniqueFd& master);

absl::Status SetConsoleSize(const UniqueFd& master, const ConsoleSize& size);

// Waits for `pid`, a child of this process, and returns its exit code (128+n for signal n). Signals
// that come meanwhile go to it; with a `master`, stdin and stdout are tied to that, in raw mode if
// stdin is a terminal, and its size follows.
absl::StatusOr<int> Attend(pid_t pid, UniqueFd master);

}  // namespace berth::oci
