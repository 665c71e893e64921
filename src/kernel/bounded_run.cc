#include "src/kernel/bounded_run.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "src/base/status_macros.h"
#include "src/base/steady_time.h"
#include "src/base/unique_fd.h"
#include "src/kernel/process.h"

namespace berth {
namespace {

constexpr int kPollMs = 100;

// A socket and not a pipe: send(2) can do without SIGPIPE.
absl::StatusOr<std::pair<UniqueFd, UniqueFd>> MakePair(const std::string& path) {
  int fds[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0)
    return ErrnoStatus("socketpair", path);
  return std::pair<UniqueFd, UniqueFd>(fds[0], fds[1]);
}

class Running {
 public:
  Running(const BoundedRun& run, SpawnedProcess child, UniqueFd input, UniqueFd output,
          UniqueFd error)
      : run_(run),
        child_(std::move(child)),
        input_(std::move(input)),
        output_(std::move(output)),
        error_(std::move(error)) {}

  // Until the program has ended; what it left in its process group cannot keep us.
  absl::Status Converse() {
    const absl::Time end = SteadyNow() + run_.deadline;
    Send();
    if (run_.meanwhile) run_.meanwhile();
    // Most programs write little and end soon: what they write waits, so that they wake us once.
    bool only_end = !writing();
    while (true) {
      std::array fds = {pollfd{child_.pidfd.get(), POLLIN, 0}, pollfd{output_.get(), POLLIN, 0},
                        pollfd{error_.get(), POLLIN, 0}, pollfd{input_.get(), POLLOUT, 0}};
      if (::poll(fds.data(), only_end ? 1 : writing() ? 4 : 3, kPollMs) < 0 && errno != EINTR)
        return ErrnoStatus("poll", run_.path);
      only_end = false;
      if (fds[0].revents != 0) break;
      if (writing() && fds[3].revents != 0) Send();
      if (fds[2].revents != 0) ReceiveError();
      if (fds[1].revents != 0) RETURN_IF_ERROR(Receive());
      if (run_.cancelled && run_.cancelled())
        return absl::CancelledError(run_.path + ": cancelled");
      if (SteadyNow() >= end) {
        return absl::DeadlineExceededError(absl::StrCat("run ", run_.path, ": still running after ",
                                                        absl::FormatDuration(run_.deadline)));
      }
    }
    ReceiveError();
    return Receive();
  }

  // Kills what is left, and the exit code. The zombie keeps its group's id from being used again
  // until it is reaped.
  int End() {
    ::kill(-child_.pid, SIGKILL);
    siginfo_t info = {};
    while (::waitid(P_PIDFD, static_cast<id_t>(child_.pidfd.get()), &info, WEXITED) != 0 &&
           errno == EINTR) {
    }
    return info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
  }

  std::string TakeText() { return std::move(text_); }
  std::string TakeErrorText() { return std::move(error_text_); }

 private:
  void Send() {
    const absl::string_view rest = absl::string_view(run_.input).substr(sent_);
    const ssize_t n = ::send(input_.get(), rest.data(), rest.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n >= 0) sent_ += static_cast<size_t>(n);
    // A program that does not want to read says with its exit code what it thinks.
    if (n < 0 && errno != EINTR && errno != EAGAIN) sent_ = run_.input.size();
    if (!writing()) input_.reset();
  }
  bool writing() const { return sent_ < run_.input.size(); }

  // The next bytes that are there now; 0 when there are none.
  static size_t Take(UniqueFd& from, std::array<char, 4096>& block) {
    while (from.valid()) {
      const ssize_t n = ::recv(from.get(), block.data(), block.size(), MSG_DONTWAIT);
      if (n > 0) return static_cast<size_t>(n);
      if (n < 0 && errno == EINTR) continue;
      if (n == 0 || errno != EAGAIN) from.reset();
      break;
    }
    return 0;
  }

  // A few blocks a turn: a flood must not keep us from the deadline.
  void ReceiveError() {
    std::array<char, 4096> block;
    for (int blocks = 0; blocks < 16; ++blocks) {
      const size_t n = Take(error_, block);
      if (n == 0) return;
      error_text_.append(block.data(), std::min(n, run_.keep_error - error_text_.size()));
    }
  }

  // All that is there now.
  absl::Status Receive() {
    std::array<char, 4096> block;
    while (const size_t n = Take(output_, block)) {
      text_.append(block.data(), n);
      if (text_.size() > run_.max_output) {
        return absl::ResourceExhaustedError(
            absl::StrCat("run ", run_.path, ": more than ", run_.max_output, " bytes of output"));
      }
    }
    return absl::OkStatus();
  }

  const BoundedRun& run_;
  const SpawnedProcess child_;
  UniqueFd input_, output_, error_;
  size_t sent_ = 0;
  std::string text_, error_text_;
};

}  // namespace

absl::StatusOr<RunResult> RunBounded(const BoundedRun& run) {
  ASSIGN_OR_RETURN(auto in, MakePair(run.path));
  ASSIGN_OR_RETURN(auto out, MakePair(run.path));
  std::pair<UniqueFd, UniqueFd> error;
  if (run.keep_error > 0) {
    ASSIGN_OR_RETURN(error, MakePair(run.path));
  }
  SpawnRequest request = {.path = run.path,
                          .argv = run.argv,
                          .env = run.env,
                          .fds = {in.second.get(), out.second.get(), error.second.get()},
                          .cwd = "/"};
  if (run.cgroup != nullptr) {
    for (const UniqueFd& tasks : run.cgroup->tasks) request.cgroup_tasks.push_back(tasks.get());
    if (run.cgroup->unified) request.cgroup_dir = run.cgroup->directory.get();
  }
  ASSIGN_OR_RETURN(SpawnedProcess child, Spawn(request));
  in.second.reset();
  out.second.reset();
  error.second.reset();
  Running running(run, std::move(child), std::move(in.first), std::move(out.first),
                  std::move(error.first));
  const absl::Status conversed = running.Converse();
  const int exit_code = running.End();
  if (!conversed.ok()) return conversed;
  return RunResult{.exit_code = exit_code,
                   .output = running.TakeText(),
                   .error_output = running.TakeErrorText()};
}

}  // namespace berth
