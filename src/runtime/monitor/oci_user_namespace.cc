#include "src/runtime/monitor/oci_user_namespace.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "src/runtime/monitor/packet.h"
#include "src/runtime/monitor/syscalls.h"

namespace berth::monitor {
namespace {

constexpr int kReplyFd = 3;

int OpenProc(pid_t pid, const char* file, int flags) {
  char path[64];
  snprintf(path, sizeof(path), "/proc/%d/%s", static_cast<int>(pid), file);
  return open(path, flags | O_CLOEXEC);
}

bool WriteMap(pid_t pid, const char* file, const char* map) {
  const int fd = OpenProc(pid, file, O_WRONLY);
  if (fd < 0) return false;
  const auto bytes = static_cast<ssize_t>(strlen(map));
  const bool written = write(fd, map, bytes) == bytes;
  const int error = errno;
  close(fd);
  errno = error;
  return written;
}

// What failed, or nullptr.
const char* MapAndSend(pid_t holder, const char* uid_map, const char* gid_map) {
  if (!WriteMap(holder, "uid_map", uid_map)) return "write uid_map";
  if (!WriteMap(holder, "gid_map", gid_map)) return "write gid_map";
  const int fd = OpenProc(holder, "ns/user", O_RDONLY);
  if (fd < 0) return "open user namespace";
  Send(kReplyFd, wire::Type::kOk, nullptr, 0, &fd, 1);
  return nullptr;
}

}  // namespace

int SendUserNamespace(const char* uid_map, const char* gid_map) {
  clone_args args = {};
  args.flags = CLONE_NEWUSER;
  args.exit_signal = SIGCHLD;
  const pid_t holder = sys::Clone3(&args);
  if (holder == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    while (true) pause();
  }
  if (holder < 0) {
    SendError(kReplyFd, -1, errno, "make user namespace");
    return 1;
  }
  const char* failed = MapAndSend(holder, uid_map, gid_map);
  if (failed != nullptr) SendError(kReplyFd, -1, errno, failed);
  kill(holder, SIGKILL);
  waitpid(holder, nullptr, 0);
  return failed == nullptr ? 0 : 1;
}

}  // namespace berth::monitor
