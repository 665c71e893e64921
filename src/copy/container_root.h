// The root of a container's files, as one descriptor, in a process that afterwards can do nothing
// else.
#pragma once

#include "absl/status/statusor.h"
#include "src/base/unique_fd.h"
#include "src/copy/copy_protocol.h"

namespace berth {

// Leaves the node's mounts behind, opens the container's root (O_PATH), and gives up all
// capabilities and system calls that copying does not need. In the container's user namespace, if
// it has one of its own. Once, in a process of one thread.
absl::StatusOr<UniqueFd> EnterContainerRoot(const CopyRoot& root, bool writable);

// LoadCopySyscallFilter: what copying needs, and nothing else.
absl::Status LoadCopySyscallFilter();

}  // namespace berth
