// Takes from berth-pull what a pull does not need, before the first byte from a stranger: its view
// of the file system is the work directory and copies of the resolver's files, its capabilities are
// those of unpacking, a seccomp filter refuses the rest, and where the kernel has Landlock it
// guards the files once more. Must run while the process has one thread.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "src/base/unique_fd.h"

namespace berth {

// The machine's CA certificates, PEM; "" if none is found.
std::string LoadCaBundle();

struct ConfinedDirs {
  UniqueFd work;    // as asked
  UniqueFd layers;  // to read only, by its mount
};

enum class WorkAccess { kWrite, kReadOnly };

// Returns both directories again, opened inside the new view. `work_fd`, `layers_fd` and every
// other fd above 2 are closed.
absl::StatusOr<ConfinedDirs> Confine(int work_fd, int layers_fd, WorkAccess access);

}  // namespace berth
