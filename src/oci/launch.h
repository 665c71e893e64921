// Starting a container's process: berth-monitor --oci (src/runtime/monitor/oci.h) is given the
// plan, and what it asks on the way is answered.
#pragma once

#include <sys/types.h>

#include <functional>
#include <vector>

#include "absl/status/statusor.h"
#include "src/base/unique_fd.h"
#include "src/runtime/launch_plan.h"
#include "src/runtime/monitor_protocol.h"
#include "src/runtime/spec.h"

namespace berth::oci {

struct LaunchRequest {
  int monitor = -1;  // sealed copy of berth-monitor
  const LaunchPlan* plan = nullptr;
  std::vector<int> fds;      // that the plan names; borrowed
  uint64_t clone_flags = 0;  // CLONE_NEW*
  // Among `fds`, -1 none: the cgroup2 directory to start in, the pid namespace to start in, the
  // container of an exec, the fifos of `start`.
  int cgroup = -1, pid_namespace = -1, container = -1, start = -1, result = -1;
  bool new_keyring = false;
  std::function<absl::Status(pid_t pid)> run_hooks;
  std::function<absl::Status(pid_t pid, UniqueFd listener)> take_seccomp_listener;
};

struct Launched {
  pid_t pid = -1;     // a child of this process
  UniqueFd terminal;  // master side; invalid without one
};

// Returns once the process waits for `start`, or, without fifos, once it has been exec'ed.
absl::StatusOr<Launched> Launch(const LaunchRequest& request);

// Where the part of a plan begins that runs behind `start`: startContainer hooks, what cannot be
// done before them, and the exec.
size_t ExecuteFrom(const LaunchPlan& plan);

// The failure of a step of `plan`, for people. NotFound: there is no such program.
absl::Status LaunchFailure(const LaunchPlan& plan, const wire::ErrorReply& reply);

// A new user namespace with these mappings.
absl::StatusOr<UniqueFd> MakeUserNamespace(int monitor, const UserNamespace& user);

}  // namespace berth::oci
