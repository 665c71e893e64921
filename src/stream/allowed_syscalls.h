// The seccomp filter of berth-stream: what carrying bytes between open descriptors needs is
// allowed, all else fails with EPERM.
#pragma once

#include "absl/status/status.h"

namespace berth {

// For the calling thread. Needs no_new_privs. Cannot be undone.
absl::Status AllowSyscallsOfSessions();

}  // namespace berth
