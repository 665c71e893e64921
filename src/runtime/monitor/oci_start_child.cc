#include "src/runtime/monitor/oci_start_child.h"

#include <errno.h>
#include <linux/keyctl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "src/runtime/monitor/child.h"
#include "src/runtime/monitor/packet.h"
#include "src/runtime/monitor/steps_child.h"

namespace berth::monitor {
namespace {

// Blocked signals and ignored ones are inherited through exec: a container starts with neither.
void ResetSignals() {
  struct sigaction action = {};
  action.sa_handler = SIG_DFL;
  for (int signal = 1; signal < NSIG; ++signal) sigaction(signal, &action, nullptr);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
}

[[noreturn]] void FailOnChannel(int channel, const StepFailure& failure) {
  SendError(channel, failure.step, failure.error, failure.call);
  EndChild(/*told=*/true, failure.error);
}

// The caller of `start` reads a whole ErrorReply or nothing: it is shorter than PIPE_BUF.
[[noreturn]] void FailOnResult(int result, const StepFailure& failure) {
  const wire::ErrorReply reply = ReplyOf(failure);
  EndChild(write(result, &reply, sizeof(reply)) == sizeof(reply), failure.error);
}

// From here on the process lives without the command that created it.
void WaitForStart(const OciStart& request) {
  prctl(PR_SET_PDEATHSIG, 0);
  if (!SendChannel(request.channel, {.tag = kOciWaiting, .value = 0})) _exit(127);
  close(request.channel);
  char go;
  ssize_t n;
  do {
    n = read(request.start, &go, 1);
  } while (n < 0 && errno == EINTR);
  if (n != 1) _exit(127);
}

}  // namespace

void RunOciChild(const OciStart& request) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  prctl(PR_SET_DUMPABLE, 0);
  close(kOciControlFd);  // only the launcher talks to berth-oci
  ResetSignals();
  StepContext context;
  context.fds = request.fds;
  context.fd_count = request.fd_count;
  context.channel = request.channel;
  context.container = request.container;
  context.stdin_pipe = STDIN_FILENO;
  context.log_stdout = STDOUT_FILENO;
  context.log_stderr = STDERR_FILENO;
  if (request.new_keyring && syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, nullptr) < 0 &&
      errno != ENOSYS) {
    FailOnChannel(request.channel, {.step = -1, .error = errno, .call = "new session keyring"});
  }
  StepFailure failure = RunSteps(*request.prepare, &context);
  if (failure.error != 0) FailOnChannel(request.channel, failure);
  if (request.start >= 0) {
    WaitForStart(request);
    context.channel = -1;
  } else {
    prctl(PR_SET_PDEATHSIG, 0);
  }
  failure = RunSteps(*request.execute, &context);
  if (failure.error == 0) failure = {.step = -1, .error = ENOEXEC, .call = "plan without an exec"};
  if (request.start >= 0) FailOnResult(request.result, failure);
  if (failure.step >= 0) failure.step += static_cast<int>(request.prepare->step_count());
  FailOnChannel(request.channel, failure);
}

}  // namespace berth::monitor
