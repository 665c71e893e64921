// Starting helper processes: vfork-style clone plus exec, with an exact fd table. The only place
// that spawns.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "src/base/unique_fd.h"

namespace berth {

struct SpawnRequest {
  int executable_fd = -1;         // execveat(AT_EMPTY_PATH); used when `path` is empty
  std::string path;               // absolute path of the executable
  std::vector<std::string> argv;  // argv[0] included
  std::vector<std::string> env;   // "KEY=value"; nothing is inherited
  // fds[i] becomes fd i of the child; -1 opens /dev/null there. All others are closed.
  std::vector<int> fds;
  std::vector<int> cgroup_tasks;  // cgroup v1: the child writes "0" to each (tasks files, O_WRONLY)
  int cgroup_dir = -1;            // cgroup v2: CLONE_INTO_CGROUP
  bool new_session = true;
  // oom_score_adj 0 instead of ours: a daemon that the kernel spares lends that to no helper that
  // it can do without. Ours stays where it may not be changed (proc_pid_oom_score_adj(5)).
  bool default_oom_score = false;
  // A copy of the caller's mounts: what the child mounts stays its own, what is mounted here later
  // reaches it (MS_SLAVE). Needs CAP_SYS_ADMIN.
  bool new_mount_namespace = false;
  std::string cwd;  // absolute; "" stays where the caller is
};

struct SpawnedProcess {
  pid_t pid = -1;
  UniqueFd pidfd;
};

// Returns once the child has exec'ed; an exec failure is the returned error (NotFound,
// PermissionDenied, ...). The caller reaps (waitid(P_PIDFD)).
absl::StatusOr<SpawnedProcess> Spawn(const SpawnRequest& request);

// A sealed in-memory copy of an executable file (memfd_create(2), F_SEAL_WRITE): what is exec'ed
// from it can never be changed through /proc/PID/exe.
absl::StatusOr<UniqueFd> SealedCopy(const std::string& path);

}  // namespace berth
