// From what was asked for and what the image says to what the planner takes. Pure.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "src/sandbox/records.h"

namespace berth {

// What of the node and its configuration a container's spec depends on.
struct ContainerSpecOptions {
  std::string data_dir;         // the host's path of it, for sources of binds
  std::string node_hostname;    // HOSTNAME of containers whose pod has no host name of its own
  std::vector<Rlimit> rlimits;  // of every process
  bool cgroup_v2 = false;
  bool mount_points = false;  // the data directory has the layer of that name (mount_points.h)
};

// All of the spec but what needs the node's files: volumes (each kBind with a `source` and no
// view_path has fd_index -1 and is to be opened), requested devices (ContainerConfig::devices and
// cdi_devices), confinement (seccomp, AppArmor, SELinux) and hooks are left for the caller.
// InvalidArgument: no command, a NUL or an unusable path, a mount where none may be.
absl::StatusOr<ContainerSpec> BuildContainerSpec(const ContainerRecord& container,
                                                 const PodRecord& pod,
                                                 const ContainerSpecOptions& options);

// The command of an exec in the container, with its environment, directory and identity.
// Confinement is left for the caller.
absl::StatusOr<ExecSpec> BuildExecSpec(const ContainerRecord& container, const PodRecord& pod,
                                       const std::vector<std::string>& command,
                                       const ContainerSpecOptions& options);

// OverriddenLimits, but what comes with a new memory limit is also the swap limit, or none.
CgroupLimits MergeLimits(CgroupLimits limits, const CgroupLimits& changes);

// As kernel/signal_name.h has them; "" is 0. InvalidArgument for what is no signal.
absl::StatusOr<int> ParseStopSignal(absl::string_view text);

}  // namespace berth
