// The seccomp filter of berth-pull: what neither libcurl nor unpacking ever calls fails with EPERM.
#pragma once

#include "absl/status/status.h"

namespace berth {

// For this thread and those that it starts. Needs no_new_privs. Cannot be undone.
absl::Status LoadSyscallFilter();

}  // namespace berth
