// What runs between clone and exec, in the memory of the suspended parent: only system calls, no
// allocation.
#pragma once

#include <sys/types.h>

namespace berth::bench {

inline constexpr int kMaxCgroups = 16;

// What a container sees of one cgroup hierarchy.
struct CgroupView {
  const char* cgroup;  // its cgroup of v1, which is bound; null: cgroup2, which is mounted
  const char* target;  // "sys/fs/cgroup/memory"
};

// All that a container's child needs, prepared by the parent. Everything is borrowed.
struct ContainerTask {
  const char* lower;
  const char* upper;
  const char* work;
  const char* target;                          // an empty folder that becomes the root
  const char *hosts, *hostname, *resolv_conf;  // files that are bound to /etc
  CgroupView views[kMaxCgroups];
  int view_count;
  int cgroup_tasks[kMaxCgroups];
  int cgroups;
  int error;  // errno of the step that failed; 0 when exec was reached
};
[[noreturn]] void RunContainer(void* task);

// A pod's first process: its IPC, UTS and mount namespaces with a /dev/shm of their own.
struct PodTask {
  const char* program;  // called as "sleep 36000"
  const char* shm;      // an empty folder
  int cgroup_tasks[kMaxCgroups];
  int cgroups;
  int error;
};
[[noreturn]] void RunPod(void* task);

struct ExecTask {
  int pidfd;
  int cgroup_tasks[kMaxCgroups];
  int cgroups;
  int error;
};
[[noreturn]] void RunExec(void* task);

}  // namespace berth::bench
