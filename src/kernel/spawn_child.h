// The code between clone3(2) and execveat(2) of Spawn: async-signal-safe calls only, no allocation.
// It shares the parent's memory (CLONE_VM | CLONE_VFORK) and, until it takes a copy of what it
// needs of them, its descriptors, so it reports its failure by writing to
// `SpawnChild::error`.
#pragma once

namespace berth {

struct SpawnChild {
  int executable_fd;
  const char* path;  // "" with AT_EMPTY_PATH, else absolute
  char* const* argv;
  char* const* env;
  const int* fds;
  int* scratch;  // as many ints as fds
  int fd_count;
  unsigned last_fd;  // the highest that the child uses of the parent's
  const int* cgroup_tasks;
  int cgroup_tasks_count;
  int null_fd;
  bool new_session;
  bool default_oom_score;
  bool new_mount_namespace;
  const char* cwd;          // or nullptr
  int error = 0;            // out: errno
  const char* failed = "";  // out: the call that failed
};

// Never returns to the caller's frame: execs, or returns 127 to the clone trampoline, which exits.
int RunSpawnChild(void* argument);

}  // namespace berth
