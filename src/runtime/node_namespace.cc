#include "src/runtime/node_namespace.h"

#include <fcntl.h>
#include <sys/wait.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "src/base/status_macros.h"
#include "src/kernel/file.h"
#include "src/kernel/process.h"

namespace berth {

absl::StatusOr<UniqueFd> MakeNodeMountNamespace(int monitor, const std::string& data_dir) {
  int in[2], out[2];
  if (::pipe2(in, O_CLOEXEC) != 0) return ErrnoStatus("pipe", "node namespace");
  UniqueFd stdin_read(in[0]), stdin_write(in[1]);
  if (::pipe2(out, O_CLOEXEC) != 0) return ErrnoStatus("pipe", "node namespace");
  UniqueFd stdout_read(out[0]), stdout_write(out[1]);
  ASSIGN_OR_RETURN(const SpawnedProcess helper,
                   Spawn({.executable_fd = monitor,
                          .argv = {"berth-monitor", "--node-namespace", data_dir},
                          .fds = {stdin_read.get(), stdout_write.get(), stdout_write.get()}}));
  stdout_write.reset();
  char answer[256];
  const ssize_t n = ::read(stdout_read.get(), answer, sizeof(answer));
  const std::string text(answer, n > 0 ? static_cast<size_t>(n) : 0);
  absl::StatusOr<UniqueFd> mount_namespace =
      text == "ready\n"
          ? OpenFile(AT_FDCWD, absl::StrCat("/proc/", helper.pid, "/ns/mnt"), O_RDONLY)
          : absl::StatusOr<UniqueFd>(absl::InternalError(
                absl::StrCat("make node mount namespace: ", absl::StripSuffix(text, "\n"))));
  stdin_write.reset();
  ::waitid(P_PIDFD, static_cast<id_t>(helper.pidfd.get()), nullptr, WEXITED);
  return mount_namespace;
}

}  // namespace berth
