#include "src/image/pull_process.h"

#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <memory>
#include <optional>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "src/base/failpoint.h"
#include "src/base/status_macros.h"
#include "src/base/unique_fd.h"
#include "src/kernel/process.h"

namespace berth {
namespace {

constexpr int kPollMs = 100;

// A socket and not a pipe: send(2) can do without SIGPIPE.
absl::StatusOr<std::pair<UniqueFd, UniqueFd>> MakeSocketPair() {
  int fds[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0)
    return ErrnoStatus("socketpair", "berth-pull");
  return std::pair<UniqueFd, UniqueFd>(fds[0], fds[1]);
}

absl::Status SendAll(int socket, absl::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoStatus("send", "berth-pull");
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  return absl::OkStatus();
}

std::string Reap(const SpawnedProcess& child) {
  siginfo_t info = {};
  while (::waitid(P_PIDFD, static_cast<id_t>(child.pidfd.get()), &info, WEXITED) != 0 &&
         errno == EINTR) {
  }
  if (info.si_code == CLD_EXITED) return absl::StrCat("exit code ", info.si_status);
  return absl::StrCat("signal ", info.si_status);
}

// Reads the helper's lines until it closes its end.
class Conversation {
 public:
  Conversation(const PullProcess& process, int to, int from)
      : process_(process), to_(to), socket_(from) {}

  // nullopt: the helper ended without a last word.
  absl::StatusOr<std::optional<PullMessage>> Run() {
    while (true) {
      if (process_.cancelled && process_.cancelled())
        return absl::CancelledError("pull: cancelled");
      GiveOrder();
      struct pollfd ready[] = {{.fd = socket_, .events = POLLIN, .revents = 0},
                               {.fd = process_.wake_fd, .events = POLLIN, .revents = 0}};
      const int count = ::poll(ready, 2, kPollMs);
      if (count < 0 && errno != EINTR) return ErrnoStatus("poll", "berth-pull");
      if (count <= 0 || ready[0].revents == 0) continue;
      const ssize_t n = ::recv(socket_, buffer_.data(), buffer_.size(), 0);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return ErrnoStatus("recv", "berth-pull");
      if (n == 0) return std::optional<PullMessage>();
      ASSIGN_OR_RETURN(std::optional<PullMessage> last,
                       Take({buffer_.data(), static_cast<size_t>(n)}));
      if (last.has_value()) return last;
    }
  }

 private:
  // A helper that is gone is seen at its other socket.
  void GiveOrder() {
    if (!process_.next_order) return;
    const PullOrder order = process_.next_order();
    if (!order.empty()) SendAll(to_, EncodePullOrder(order)).IgnoreError();
  }

  absl::StatusOr<std::optional<PullMessage>> Take(absl::string_view bytes) {
    line_.append(bytes.data(), bytes.size());
    if (line_.size() > kMaxPullLine) return absl::InternalError("berth-pull: a line is too long");
    size_t begin = 0;
    for (size_t end = line_.find('\n'); end != std::string::npos; end = line_.find('\n', begin)) {
      absl::StatusOr<PullMessage> message =
          DecodePullMessage(absl::string_view(line_).substr(begin, end - begin));
      begin = end + 1;
      if (!message.ok())
        return absl::InternalError(absl::StrCat("berth-pull: ", message.status().message()));
      if (const auto* progress = std::get_if<PullProgress>(&*message)) {
        if (process_.progress) process_.progress(*progress);
      } else if (const auto* plan = std::get_if<PullPlan>(&*message)) {
        if (process_.plan) RETURN_IF_ERROR(process_.plan(*plan));
      } else if (const auto* layer = std::get_if<PulledLayer>(&*message)) {
        if (process_.layer) process_.layer(*layer);
      } else {
        return std::optional<PullMessage>(*std::move(message));
      }
    }
    line_.erase(0, begin);
    return std::optional<PullMessage>();
  }

  const PullProcess& process_;
  const int to_, socket_;
  std::string line_;
  std::array<char, 64 << 10> buffer_;
};

absl::StatusOr<PullMessage> RunHelper(const PullProcess& process) {
  ASSIGN_OR_RETURN(auto in, MakeSocketPair());
  ASSIGN_OR_RETURN(auto out, MakeSocketPair());
  SpawnRequest request;
  request.path = process.helper;
  request.argv = {"berth-pull"};
  request.env = process.env;
  request.fds = {in.second.get(), out.second.get(), STDERR_FILENO, process.work_dir,
                 process.layers_dir};
  request.default_oom_score = true;
  std::unique_ptr<PullCgroup> cgroup;  // goes after the helper
  if (process.cgroups != nullptr) {
    ASSIGN_OR_RETURN(cgroup, process.cgroups->Make());
    cgroup->Lend(&request);
  }
  RETURN_IF_FAULT("pull.spawn");
  const absl::StatusOr<SpawnedProcess> spawned = Spawn(request);
  // No process can be had (EAGAIN): that is this node's want, not the registry's.
  if (absl::IsUnavailable(spawned.status()))
    return absl::ResourceExhaustedError(spawned.status().message());
  RETURN_IF_ERROR(spawned.status());
  const SpawnedProcess& child = *spawned;
  in.second.reset();
  out.second.reset();
  std::string ending;
  absl::StatusOr<std::optional<PullMessage>> last;
  {
    const auto reap = absl::MakeCleanup([&] {
      ::syscall(SYS_pidfd_send_signal, child.pidfd.get(), SIGKILL, nullptr, 0);
      ending = Reap(child);
    });
    if (cgroup != nullptr) RETURN_IF_ERROR(cgroup->Adopt(child.pid));
    // A helper that dies before it has read its job is told by its ending, like one that dies
    // later.
    const absl::Status sent = SendAll(in.first.get(), process.job);
    last = sent.ok() ? Conversation(process, in.first.get(), out.first.get()).Run()
                     : std::optional<PullMessage>();
    // A process that closed its output is about to end by itself: its own way of dying is the one
    // to tell.
    if (last.ok() && !last->has_value()) {
      struct pollfd ended = {.fd = child.pidfd.get(), .events = POLLIN, .revents = 0};
      ::poll(&ended, 1, 1000);
    }
  }
  if (!last.ok()) return last.status();
  if (!last->has_value() && cgroup != nullptr && cgroup->RanOutOfMemory()) {
    return absl::ResourceExhaustedError(
        absl::StrCat("berth-pull: ended by its memory limit, ", ending));
  }
  if (!last->has_value())
    return absl::InternalError(absl::StrCat("berth-pull: ended without a result, ", ending));
  if (const auto* error = std::get_if<absl::Status>(&**last)) return *error;
  return **std::move(last);
}

template <typename Result>
absl::StatusOr<Result> Expect(absl::StatusOr<PullMessage> message) {
  if (!message.ok()) return message.status();
  if (auto* result = std::get_if<Result>(&*message)) return std::move(*result);
  return absl::InternalError("berth-pull: its answer is that of another job");
}

}  // namespace

absl::StatusOr<PulledImage> RunPull(const PullProcess& process) {
  return Expect<PulledImage>(RunHelper(process));
}

absl::StatusOr<LayerVerification> RunVerification(const PullProcess& process) {
  return Expect<LayerVerification>(RunHelper(process));
}

}  // namespace berth
