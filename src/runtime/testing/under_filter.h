// Runs code in a child process under a real seccomp filter. For tests.
#pragma once

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>

namespace berth {

// Loads the filter on the calling process; what seccomp(2) returns, with `flags` the listener.
inline int LoadFilter(const std::string& filter, unsigned flags) {
  sock_fprog program = {.len = static_cast<unsigned short>(filter.size() / sizeof(sock_filter)),
                        .filter = reinterpret_cast<sock_filter*>(const_cast<char*>(filter.data()))};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return -1;
  return static_cast<int>(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program));
}

// The wait status of a child that runs `body` (an int()) under the filter and exits with it.
template <typename Body>
int WaitStatusUnder(const std::string& filter, const Body& body) {
  const pid_t pid = fork();
  if (pid == 0) {
    if (LoadFilter(filter, 0) != 0) _exit(254);
    _exit(body());
  }
  int status = -1;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  return status;
}

}  // namespace berth
