#include "src/kernel/process.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include "src/base/status_macros.h"
#include "src/kernel/file.h"
#include "src/kernel/sealed_memory.h"
#include "src/kernel/spawn_child.h"
#include "src/kernel/vfork.h"

namespace berth {
namespace {

std::vector<char*> Pointers(const std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  pointers.reserve(strings.size() + 1);
  for (const std::string& s : strings) pointers.push_back(const_cast<char*>(s.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

unsigned LastFd(const SpawnRequest& request, int null) {
  int last = std::max(null, request.executable_fd);
  for (const std::vector<int>* fds : {&request.fds, &request.cgroup_tasks}) {
    for (const int fd : *fds) last = std::max(last, fd);
  }
  return static_cast<unsigned>(last);
}

}  // namespace

absl::StatusOr<SpawnedProcess> Spawn(const SpawnRequest& request) {
  const std::string name = request.path.empty() ? request.argv.at(0) : request.path;
  const std::vector<char*> argv = Pointers(request.argv), env = Pointers(request.env);
  std::vector<int> scratch(request.fds.size());
  ASSIGN_OR_RETURN(const UniqueFd null, OpenFile(AT_FDCWD, "/dev/null", O_RDWR));
  SpawnChild child = {
      .executable_fd = request.path.empty() ? request.executable_fd : -1,
      .path = request.path.c_str(),
      .argv = argv.data(),
      .env = env.data(),
      .fds = request.fds.data(),
      .scratch = scratch.data(),
      .fd_count = static_cast<int>(request.fds.size()),
      .last_fd = LastFd(request, null.get()),
      .cgroup_tasks = request.cgroup_tasks.data(),
      .cgroup_tasks_count = static_cast<int>(request.cgroup_tasks.size()),
      .null_fd = null.get(),
      .new_session = request.new_session,
      .default_oom_score = request.default_oom_score,
      .new_mount_namespace = request.new_mount_namespace,
      .cwd = request.cwd.empty() ? nullptr : request.cwd.c_str(),
  };
  ASSIGN_OR_RETURN(SpawnedProcess process, Vfork(name, {.cgroup_dir = request.cgroup_dir,
                                                        .function = RunSpawnChild,
                                                        .argument = &child}));
  if (child.error != 0) {
    waitid(P_PIDFD, static_cast<id_t>(process.pidfd.get()), nullptr, WEXITED);
    return ErrnoStatus(child.failed, name, child.error);
  }
  return process;
}

absl::StatusOr<UniqueFd> SealedCopy(const std::string& path) {
  ASSIGN_OR_RETURN(const UniqueFd source, OpenFile(AT_FDCWD, path, O_RDONLY));
  struct stat info;
  if (fstat(source.get(), &info) != 0) return ErrnoStatus("stat", path);
  UniqueFd copy(memfd_create("berth", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!copy.valid()) return ErrnoStatus("memfd_create", path);
  for (off_t done = 0; done < info.st_size;) {
    const ssize_t n =
        sendfile(copy.get(), source.get(), nullptr, static_cast<size_t>(info.st_size - done));
    if (n <= 0) return ErrnoStatus("copy", path);
    done += n;
  }
  if (fchmod(copy.get(), 0500) != 0) return ErrnoStatus("chmod", path);
  RETURN_IF_ERROR(SealMemory(copy.get(), path));
  return copy;
}

}  // namespace berth
