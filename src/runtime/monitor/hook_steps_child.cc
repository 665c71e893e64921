// Hooks of the OCI runtime specification (config.md, "POSIX-platform Hooks").
#include "src/runtime/monitor/hook_steps_child.h"

#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "src/runtime/monitor/channel.h"
#include "src/runtime/monitor/loop.h"
#include "src/runtime/monitor/process_steps_child.h"
#include "src/runtime/monitor/step_result.h"
#include "src/runtime/monitor/syscalls.h"

namespace berth::monitor {
namespace {

constexpr std::string_view kPidMark = "%PID%";

bool WriteAll(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = write(fd, text.data(), text.size());
    if (n <= 0) return false;
    text.remove_prefix(n);
  }
  return true;
}

bool WriteNumber(int fd, long number) {
  char digits[24];
  size_t at = sizeof(digits);
  do {
    digits[--at] = static_cast<char>('0' + number % 10);
    number /= 10;
  } while (number > 0);
  return WriteAll(fd, std::string_view(digits + at, sizeof(digits) - at));
}

// A file with the state, to be a hook's stdin: a pipe would block on a long one. -1 with errno.
int StateFile(std::string_view state, pid_t pid) {
  const int file = memfd_create("state", MFD_CLOEXEC);
  if (file < 0) return -1;
  while (true) {
    const size_t mark = state.find(kPidMark);
    if (!WriteAll(file, state.substr(0, mark))) break;
    if (mark == std::string_view::npos) {
      lseek(file, 0, SEEK_SET);
      return file;
    }
    if (!WriteNumber(file, pid)) break;
    state.remove_prefix(mark + kPidMark.size());
  }
  CloseKeepingErrno(file);
  return -1;
}

[[noreturn]] void RunHook(int state, char* const* argv, char* const* env) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  setsid();
  const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  if (dup2(state, 0) < 0) _exit(126);
  for (int fd = 1; fd <= 2; ++fd) {
    // Without a /dev/null here (a new root) the hook's output ends nowhere, too.
    if (null < 0 ? close(fd) != 0 && errno != EBADF : dup2(null, fd) < 0) _exit(126);
  }
  sys::CloseRangeCloexec(3);
  umask(022);
  execve(argv[0], argv, env);
  _exit(127);
}

// The exit status of the hook, or -1 with errno; ETIMEDOUT after it was killed.
int WaitForHook(int pidfd, pid_t pid, int64_t timeout_ms) {
  const int64_t deadline = BootMilliseconds() + timeout_ms;
  bool in_time = false;
  while (!in_time) {
    const int64_t left = deadline - BootMilliseconds();
    pollfd wait = {.fd = pidfd, .events = POLLIN, .revents = 0};
    const int ready = poll(&wait, 1,
                           left <= 0        ? 0
                           : left > 3600000 ? 3600000
                                            : static_cast<int>(left));
    if (ready > 0) in_time = true;
    if (ready == 0 && left <= 0) break;
    if (ready < 0 && errno != EINTR) return -1;
  }
  if (!in_time) {
    kill(-pid, SIGKILL);  // it leads a session of its own
    kill(pid, SIGKILL);
  }
  int status = 0;
  while (waitpid(pid, &status, __WALL) < 0) {
    if (errno != EINTR) return -1;
  }
  if (in_time) return status;
  errno = ETIMEDOUT;
  return -1;
}

}  // namespace

int StepHook(const Step& step, StepContext* context, const char** call) {
  const char* cursor = step.strings();
  const std::string_view state = step.string_count() > 0 ? NextString(&cursor) : "";
  char** argv;
  char** env;
  const uint64_t strings = step.string_count() > 0 ? step.string_count() - 1 : 0;
  if (!MakeArguments(*context, cursor, strings, step.a(), step.b(), &argv, &env))
    return Fail(call, "hook arguments");
  const pid_t pid =
      context->channel >= 0 ? AskChannel(context->channel, ChannelTag::kAskPid) : getpid();
  if (pid < 0) return Fail(call, "ask for the pid");
  const int file = StateFile(state, pid);
  if (file < 0) return Fail(call, "write hook state");
  int pidfd = -1;
  clone_args args = {};
  args.flags = CLONE_PIDFD;
  args.pidfd = reinterpret_cast<uint64_t>(&pidfd);
  args.exit_signal = SIGCHLD;
  const pid_t hook = sys::Clone3(&args);
  if (hook == 0) RunHook(file, argv, env);
  CloseKeepingErrno(file);
  if (hook < 0) return Fail(call, "start hook");
  const int status = WaitForHook(pidfd, hook, step.c());
  CloseKeepingErrno(pidfd);
  if (status < 0) return Fail(call, errno == ETIMEDOUT ? "hook timed out" : "wait for hook");
  if (status == 0) return 0;
  errno = ECANCELED;
  return Fail(call, WIFSIGNALED(status)
                        ? CallText("hook killed by signal ", WTERMSIG(status))
                        : CallText("hook exited with status ", WEXITSTATUS(status)));
}

int StepAskHooks(const Step&, StepContext* context, const char** call) {
  const int answer = AskChannel(context->channel, ChannelTag::kAskHooks);
  if (answer == 0) return 0;
  if (answer > 0) errno = answer;
  return Fail(call, "hooks");
}

}  // namespace berth::monitor
