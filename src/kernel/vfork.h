// Children that share the caller's memory and descriptors, and stop it, until they exec or end
// (CLONE_VM | CLONE_VFORK | CLONE_FILES).
#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "src/kernel/process.h"

namespace berth {

struct VforkRequest {
  uint64_t namespaces = 0;  // new ones of the child: CLONE_NEWNET, ...
  int cgroup_dir = -1;      // cgroup v2: CLONE_INTO_CGROUP
  // What the child runs, with its signals blocked: Call() alone (child_call.h), no allocation. It
  // ends with what this returns. What it leaves open is open in the caller.
  int (*function)(void*) = nullptr;
  void* argument = nullptr;
};

// Returns once the child has exec'ed or ended. `name` is for errors of clone3(2). The caller reaps
// (waitid(P_PIDFD)).
absl::StatusOr<SpawnedProcess> Vfork(absl::string_view name, const VforkRequest& request);

}  // namespace berth
