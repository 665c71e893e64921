// Takes from berth-stream what a session does not need, before the first byte of a client: its
// files, its identity, its capabilities, and by a seccomp filter all but some forty system calls.
// Must run while the process has one thread.
#pragma once

#include "absl/status/status.h"

namespace berth {

// Descriptors that are open stay usable; no others can be opened.
absl::Status ConfineStream();

}  // namespace berth
