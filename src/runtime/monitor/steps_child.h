// Runs the steps of a plan in the process that calls it: in the cloned child of a container or an
// exec, and, for the pod's own plan, in the monitor itself. No allocation, async-signal-safe calls
// only.
#pragma once

#include "src/runtime/monitor/plan.h"

namespace berth::monitor {

struct StepContext {
  const int* fds = nullptr;  // what the plan's fd operands index
  int fd_count = 0;
  int channel = -1;  // SOCK_SEQPACKET to the monitor: errors, and the terminal's master
  int log_stdout = -1, log_stderr = -1;
  int container = -1;  // pidfd of the container's first process (kJoinContainer)

  // State between steps.
  int root = -1;            // the container's root directory while it is not "/" yet
  int proc = -1;            // a mount of procfs for the process's own pid namespace
  int terminal = -1;        // slave side
  int mask_directory = -1;  // one empty read-only tmpfs for all masked directories
};

struct StepFailure {
  int step = -1;
  int error = 0;
  const char* call = "";
};

// Returns only if a step failed, or if the plan has no kExec.
StepFailure RunSteps(const Plan& plan, StepContext* context);

}  // namespace berth::monitor
