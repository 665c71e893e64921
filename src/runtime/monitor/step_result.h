// How a step of a plan reports that it failed, and how it reads its operands. Shared by the
// *_steps_child.cc files.
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "src/runtime/monitor/steps_child.h"

namespace berth::monitor {

// -1, with *call naming what failed; errno stays.
inline int Fail(const char** call, const char* what) {
  *call = what;
  return -1;
}

inline int FailClosing(const char** call, const char* what, int fd) {
  const int error = errno;
  close(fd);
  errno = error;
  return Fail(call, what);
}

inline void CloseKeepingErrno(int fd) {
  const int error = errno;
  if (fd >= 0) close(fd);
  errno = error;
}

// The descriptor that a plan's "fd" operand names; -1 with EBADF if it did not come. Borrowed.
inline int PlanFd(const StepContext& context, int64_t index) {
  if (index >= 0 && index < context.fd_count) return context.fds[index];
  errno = EBADF;
  return -1;
}

// The descriptor of a "tree" operand: one that came with the plan, a slot, or a view of a cgroup.
// Borrowed.
inline int TreeOperand(const StepContext& context, int64_t operand) {
  if (operand >= wire::kFirstCgroupView) {
    const int64_t index = context.task_count + (operand - wire::kFirstCgroupView);
    if (index < context.cgroup_fd_count) return context.cgroup_fds[index];
    errno = EBADF;
    return -1;
  }
  if (operand >= -1) return PlanFd(context, operand);
  const int64_t slot = wire::TreeSlot(0) - operand;
  if (slot < wire::kTreeSlots && context.trees[slot] >= 0) return context.trees[slot];
  errno = EBADF;
  return -1;
}

}  // namespace berth::monitor
