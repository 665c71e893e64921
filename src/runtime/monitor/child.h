// Starting one process of the pod: the clone with the right namespaces and cgroup, its plan, and
// the channel over which its start is known to have succeeded (closed by exec) or failed (an
// ErrorReply).
#pragma once

#include <sys/types.h>

#include "src/runtime/monitor/plan.h"
#include "src/runtime/monitor/steps_child.h"
#include "src/runtime/monitor_protocol.h"

namespace berth::monitor {

struct ChildRequest {
  const Plan* plan = nullptr;
  const int* fds = nullptr;
  int fd_count = 0;
  uint64_t clone_flags = 0;    // CLONE_NEW*
  int clone_into_cgroup = -1;  // cgroup2 directory
  int leaf_tasks = -1;         // v1 exec leaf: the child writes "0" here first
  int pid_namespace = -1;      // pidfd of a process whose pid namespace the child starts in
  int own_pid_namespace = -1;  // the monitor's own, to come back to
  int container = -1;          // pidfd for kJoinContainer
  const int* tasks = nullptr;  // for kJoinContainerCgroups
  int task_count = 0;
  int proc = -1;  // a procfs in which the child is
  int log_stdout = -1, log_stderr = -1, stdin_pipe = -1;
};

struct Child {
  pid_t pid = -1;
  int pidfd = -1;
  int channel = -1;  // the monitor's end (channel.h)
};

// In the process that was cloned: makes it what `request` describes. Returns only if that failed.
// `context` holds the channel, and what there is room for.
StepFailure RunRequest(const ChildRequest& request, StepContext* context);
wire::ErrorReply ReplyOf(const StepFailure& failure);

// Whether the process `pid`, a child that is not reaped yet, has come to an exec. A channel also
// ends where a process was killed before, or where its seccomp filter keeps it from telling.
bool HasExeced(pid_t pid);

// What is known of a start that ended without a word, from the wait status of its process.
wire::ErrorReply SilentFailure(int status);

// Ends a process that could not be started: with 127, or with `error` as its exit code where that
// could not be told on the channel. Its filter may refuse even the exit.
[[noreturn]] void EndChild(bool told, int error);

// False with errno and *call if the process could not be made.
bool StartChild(const ChildRequest& request, Child* child, const char** call);

// Starts the pod's first process when the pod shares a pid namespace: it reaps what is orphaned and
// ends on SIGTERM, in an empty root without capabilities. With `user_namespace` >= 0 the pid
// namespace belongs to that. False with errno and *call.
bool StartPodInit(int user_namespace, Child* init, const char** call);

}  // namespace berth::monitor
