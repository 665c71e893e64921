// Running hooks.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "nlohmann/json.hpp"
#include "src/base/log.h"
#include "src/base/status_macros.h"
#include "src/base/steady_time.h"
#include "src/base/unique_fd.h"
#include "src/kernel/file.h"
#include "src/kernel/process.h"
#include "src/kernel/sealed_memory.h"
#include "src/runtime/hooks.h"
#include "src/runtime/trusted_file.h"

namespace berth {
namespace {

constexpr size_t kKeptStderr = 4096;
constexpr size_t kMaxToldLine = 512;
// A session that still forks after this many rounds of SIGKILL is left to its cgroup's limits.
constexpr int kKillRounds = 100;

// The session of a process, from /proc/PID/stat (proc(5)): the fourth word behind the name.
pid_t SessionOf(const std::string& pid) {
  const absl::StatusOr<std::string> stat =
      ReadFileAt(AT_FDCWD, absl::StrCat("/proc/", pid, "/stat"));
  if (!stat.ok()) return -1;
  const size_t name_end = stat->rfind(')');
  if (name_end == std::string::npos) return -1;
  const std::vector<absl::string_view> words =
      absl::StrSplit(absl::string_view(*stat).substr(name_end + 1), ' ', absl::SkipEmpty());
  pid_t session = -1;
  if (words.size() < 4 || words[0] == "Z" || words[0] == "X" ||
      !absl::SimpleAtoi(words[3], &session)) {
    return -1;
  }
  return session;
}

// One process after the other: a pidfd that is opened before the session is read belongs to the
// process that was read.
bool KillMembers(pid_t session) {
  bool found = false;
  const absl::StatusOr<std::vector<std::string>> names = ListDir(AT_FDCWD, "/proc");
  if (!names.ok()) return false;
  for (const std::string& name : *names) {
    pid_t pid = 0;
    if (!absl::SimpleAtoi(name, &pid) || pid <= 1) continue;
    const UniqueFd process(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
    if (!process.valid() || SessionOf(name) != session) continue;
    found = true;
    ::syscall(SYS_pidfd_send_signal, process.get(), SIGKILL, nullptr, 0);
  }
  return found;
}

// Kills all that a hook forked. Its leader is not yet reaped, so that the number is still its own.
void KillSession(pid_t session) {
  ::kill(-session, SIGKILL);
  for (int round = 0; round < kKillRounds && KillMembers(session); ++round) {
  }
}

// The end of what a process writes to a pipe.
class StderrTail {
 public:
  // Makes the pipe; the writer's end is returned, to be closed once the process has it.
  absl::StatusOr<UniqueFd> Open() {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) return ErrnoStatus("pipe", "hook stderr");
    reader_.reset(ends[0]);
    if (::fcntl(ends[0], F_SETFL, O_NONBLOCK) != 0) {
      ::close(ends[1]);
      return ErrnoStatus("fcntl", "hook stderr");
    }
    return UniqueFd(ends[1]);
  }

  int fd() const { return reader_.valid() ? reader_.get() : -1; }

  // Reads what is there, at most `kMaxReads` buffers: a writer that never stops must not hold us.
  void Drain() {
    constexpr int kMaxReads = 256;
    char buffer[4096];
    for (int i = 0; i < kMaxReads; ++i) {
      const ssize_t n = ::read(reader_.get(), buffer, sizeof(buffer));
      if (n < 0 && errno == EINTR) continue;
      if (n == 0) reader_.reset();
      if (n <= 0) return;
      text_.append(buffer, static_cast<size_t>(n));
      if (text_.size() > kKeptStderr) text_.erase(0, text_.size() - kKeptStderr);
    }
  }

  // ": <last line>", or "".
  std::string Told() const {
    const absl::string_view text = absl::StripAsciiWhitespace(text_);
    const std::vector<absl::string_view> lines = absl::StrSplit(text, '\n');
    const absl::string_view line = absl::StripAsciiWhitespace(lines.back());
    if (line.empty()) return "";
    return absl::StrCat(": ", EscapeForLog(line.substr(0, kMaxToldLine)));
  }

 private:
  UniqueFd reader_;
  std::string text_;
};

// Until the process has ended: true; false at the deadline.
absl::StatusOr<bool> WaitForEnd(int pidfd, absl::Time deadline, StderrTail* errors) {
  while (true) {
    const absl::Duration left = deadline - SteadyNow();
    if (left <= absl::ZeroDuration()) return false;
    pollfd fds[] = {{.fd = pidfd, .events = POLLIN, .revents = 0},
                    {.fd = errors->fd(), .events = POLLIN, .revents = 0}};
    const int64_t wait_ms =
        std::min<int64_t>(absl::ToInt64Milliseconds(left) + 1, int64_t{24} * 3600 * 1000);
    if (::poll(fds, 2, static_cast<int>(wait_ms)) < 0 && errno != EINTR)
      return ErrnoStatus("poll", "hook");
    if (fds[1].revents != 0) errors->Drain();
    if (fds[0].revents != 0) {
      if (errors->fd() >= 0) errors->Drain();
      return true;
    }
  }
}

absl::Status RunHook(const Hook& hook, absl::string_view state_json, absl::Duration timeout) {
  RETURN_IF_ERROR(CheckTrustedExecutable(hook.path));
  ASSIGN_OR_RETURN(const UniqueFd state, SealedMemory("berth-hook-state", state_json));
  StderrTail errors;
  ASSIGN_OR_RETURN(UniqueFd writer, errors.Open());
  SpawnRequest request{.path = hook.path,
                       .argv = hook.args,
                       .env = hook.env,
                       .fds = {state.get(), -1, writer.get()},
                       .new_mount_namespace = true,
                       .cwd = "/"};
  if (request.argv.empty()) request.argv = {hook.path};
  ASSIGN_OR_RETURN(const SpawnedProcess process, Spawn(request));
  writer.reset();
  const absl::StatusOr<bool> ended =
      WaitForEnd(process.pidfd.get(), SteadyNow() + timeout, &errors);
  if (!ended.ok() || !*ended) KillSession(process.pid);
  siginfo_t info = {};
  while (::waitid(P_PIDFD, static_cast<id_t>(process.pidfd.get()), &info, WEXITED) != 0) {
    if (errno != EINTR) return ErrnoStatus("waitid", "hook");
  }
  RETURN_IF_ERROR(ended.status());
  if (!*ended) {
    return absl::DeadlineExceededError(
        absl::StrCat("no end within ", absl::FormatDuration(timeout), ", killed", errors.Told()));
  }
  if (info.si_code != CLD_EXITED)
    return absl::AbortedError(absl::StrCat("killed by signal ", info.si_status, errors.Told()));
  if (info.si_status != 0)
    return absl::AbortedError(absl::StrCat("exit status ", info.si_status, errors.Told()));
  return absl::OkStatus();
}

}  // namespace

absl::Status RunHooks(const std::vector<Hook>& hooks, absl::string_view state_json,
                      absl::Duration default_timeout) {
  for (const Hook& hook : hooks) {
    const absl::Duration timeout =
        hook.timeout > absl::ZeroDuration() ? hook.timeout : default_timeout;
    if (absl::Status run = RunHook(hook, state_json, timeout); !run.ok())
      return Annotate(run, absl::StrCat("run hook ", hook.path));
  }
  return absl::OkStatus();
}

std::string OciStateJson(const OciState& state) {
  nlohmann::ordered_json json;
  json["ociVersion"] = "1.1.0";
  json["id"] = state.id;
  json["status"] = state.status;
  json["bundle"] = state.bundle;
  json["annotations"] = nlohmann::ordered_json::object();
  for (const auto& [key, value] : state.annotations) json["annotations"][key] = value;
  const std::string text =
      json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
  // A "%PID%" in an annotation stays text: it is written with an escape.
  const std::string pid = state.pid.has_value() ? absl::StrCat(*state.pid) : "%PID%";
  return absl::StrCat("{\"pid\":", pid, ",",
                      absl::StrReplaceAll(text.substr(1), {{"%PID%", "\\u0025PID%"}}));
}

}  // namespace berth
