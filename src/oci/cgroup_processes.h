// Which processes are in a container's cgroup.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "src/kernel/cgroup.h"

namespace berth::oci {

// Pids in `path` and the cgroups below it, sorted, each once; as this pid namespace has them.
absl::StatusOr<std::vector<pid_t>> CgroupProcesses(const Cgroups& cgroups, const std::string& path);

// Returns once none is left; DeadlineExceeded. Processes must have been killed before.
absl::Status WaitForEmptyCgroup(const Cgroups& cgroups, const std::string& path);

}  // namespace berth::oci
