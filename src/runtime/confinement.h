// Looks after exec whether a process is confined as it was asked to be: a kernel or a plan that
// left a step out must not pass unseen.
#pragma once

#include <sys/types.h>

#include <string>

#include "absl/status/status.h"
#include "src/runtime/spec.h"

namespace berth {

struct ExpectedConfinement {
  bool seccomp = false;  // a filter is loaded
  bool no_new_privs = false;
  std::string apparmor;  // profile; "" is not looked at
  std::string selinux;   // whole context; "" is not looked at
  std::string proc = "/proc";
};

ExpectedConfinement ExpectedOf(const ProcessIdentity& identity);

// Reads /proc/PID/status and attr/current (proc(5)). More confinement than asked for is fine:
// programs confine themselves. A process that is gone is OK. PermissionDenied names what was asked
// for and what is there. `pidfd` keeps a reused pid from being taken for the process.
absl::Status VerifyConfinement(int pidfd, const ExpectedConfinement& expected);

// For a pid that the caller knows to be the process still, or its unreaped remains.
absl::Status VerifyConfinementOfPid(pid_t pid, const ExpectedConfinement& expected);

}  // namespace berth
