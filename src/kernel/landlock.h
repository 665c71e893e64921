// Landlock (kernel documentation, userspace-api/landlock.rst): takes from a process the access to
// files that no rule gives it, whatever its capabilities. A second wall behind the mount namespace.
#pragma once

#include <vector>

#include "absl/status/statusor.h"

namespace berth {

// The ABI that the running kernel has; 0 if it has none or has it switched off.
int LandlockAbi();

struct LandlockRule {
  int directory = -1;  // borrowed
  bool writable = false;
};

// For this thread and those that it starts; cannot be undone. Below a rule's directory files can be
// read, and made, changed and removed if it is writable; programs can be run nowhere; no TCP port
// can be bound; no abstract socket and no process outside be reached. Each as far as the kernel's
// ABI knows of it. Returns false, and restricts nothing, below ABI 2 (Linux 5.19): before that no
// hard link between two directories is possible under Landlock. Needs no_new_privs.
absl::StatusOr<bool> RestrictFileAccess(const std::vector<LandlockRule>& rules);

}  // namespace berth
