// Hands the notify descriptor of a container's filter to the agent that its profile names: the
// "container process state" message of the OCI runtime specification (config-linux.md, "The
// Container Process State").
#pragma once

#include <sys/types.h>

#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "src/base/unique_fd.h"
#include "src/runtime/spec.h"

namespace berth {

struct NotifiedProcess {
  std::string container_id;
  std::string bundle;  // absolute; "" where there is none
  pid_t pid = 0;       // in the agent's pid namespace, which is the node's
};

// Connects to the profile's socket (SOCK_STREAM), sends the state with `listener` as the only
// descriptor and closes. The process waits in its next notified call until the agent answers.
// DeadlineExceeded after `timeout`; FailedPrecondition: the program has no listener path.
absl::Status SendSeccompListener(const SeccompProgram& program, const NotifiedProcess& process,
                                 const UniqueFd& listener,
                                 absl::Duration timeout = absl::Seconds(5));

}  // namespace berth
