// What runs between clone and exec, in the memory of the suspended parent: only system calls, no
// allocation.
#pragma once

#include <sys/types.h>

namespace berth::bench {

inline constexpr int kMaxCgroups = 16;

// All that a container's child needs, prepared by the parent. Everything is borrowed.
struct ContainerTask {
  const char* lower;
  const char* upper;
  const char* work;
  const char* target;  // an empty folder that becomes the root
  int cgroup_tasks[kMaxCgroups];
  int cgroups;
  int error;  // errno of the step that failed; 0 when exec was reached
};
[[noreturn]] void RunContainer(void* task);

struct ExecTask {
  int pidfd;
  int cgroup_tasks[kMaxCgroups];
  int cgroups;
  int error;
};
[[noreturn]] void RunExec(void* task);

}  // namespace berth::bench
