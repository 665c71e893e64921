// Runs the steps of a plan in the process that calls it: in the cloned child of a container or an
// exec, and, for the pod's own plan, in the monitor itself. No allocation, async-signal-safe calls
// only.
#pragma once

#include <sys/types.h>

#include <string_view>

#include "src/runtime/monitor/plan.h"
#include "src/runtime/monitor_protocol.h"

namespace berth::monitor {

// A tmpfs that the plan has mounted in the container.
struct OwnMount {
  int root = -1;
  std::string_view path;
};

struct StepContext {
  const int* fds = nullptr;  // what the plan's fd operands index
  int fd_count = 0;
  int channel = -1;  // to the monitor (channel.h); -1 in the monitor itself
  int log_stdout = -1, log_stderr = -1, stdin_pipe = -1;
  int container = -1;          // pidfd of the container's first process (kJoinContainer)
  const int* tasks = nullptr;  // kJoinContainerCgroups
  int task_count = 0;
  int leaf_tasks = -1;  // behind them: below one of the container's
  // kAwaitCgroups: `tasks` files, then views.
  int cgroup_fds[wire::kMaxMessageFds];
  int cgroup_fd_count = 0;
  // Where an exec's argument and environment pointers go; else, or where they do not fit, they are
  // mapped and never given back.
  char** pointers = nullptr;
  uint64_t pointer_room = 0;
  std::string_view oom_score_adj;  // what the process has already; empty: not known

  // State between steps.
  int root = -1;             // the container's root directory while it is not "/" yet
  bool root_shared = false;  // becomes shared once it is the root: pivot_root(2) refuses before
  int proc = -1;             // a procfs that the process is in
  int terminal = -1;         // slave side
  // The directory in which the last step made an entry, for the next one that does.
  int parent = -1;
  std::string_view parent_path;
  OwnMount own[4];             // those that the steps since then cannot have covered
  int mask_directory = -1;     // one empty read-only tmpfs for all masked directories
  bool data_idmapped = false;  // the data directory is covered by an id-mapped clone of itself
  int trees[wire::kTreeSlots] = {-1, -1, -1, -1, -1, -1, -1, -1,
                                 -1, -1, -1, -1, -1, -1, -1, -1};  // kOpenTree
  mode_t umask = 022;                                              // for the process to be exec'ed
  // kCreateUserNamespace:
  int user_namespace = -1;
  uid_t root_uid = 0;  // what its root is outside
  gid_t root_gid = 0;
};

struct StepFailure {
  int step = -1;
  int error = 0;
  const char* call = "";
};

// Returns only if a step failed, or if the plan has no kExec.
StepFailure RunSteps(const Plan& plan, StepContext* context);

// The failed call of a step whose text is not constant; valid until the next.
char* CallText(const char* what, long number);

}  // namespace berth::monitor
