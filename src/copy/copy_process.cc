#include "src/copy/copy_process.h"

#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "src/base/status_macros.h"
#include "src/base/steady_time.h"

namespace berth {
namespace {

constexpr int kPollMs = 100;
constexpr int kDeathMs = 5000;
constexpr absl::Duration kSilence = absl::Seconds(60);
constexpr size_t kMaxPacketBytes = kMaxCopyData + 1;

}  // namespace

absl::StatusOr<std::unique_ptr<CopyProcess>> CopyProcess::Start(const Options& options) {
  int fds[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) != 0)
    return ErrnoStatus("socketpair", "berth-copy");
  UniqueFd ours(fds[0]);
  const UniqueFd theirs(fds[1]);
  SpawnRequest request{.executable_fd = options.executable,
                       .argv = EncodeCopyJob(options.job),
                       .fds = {-1, -1, -1, theirs.get(), options.node_namespace},
                       .default_oom_score = true};
  if (options.pidfd >= 0) request.fds.push_back(options.pidfd);
  ASSIGN_OR_RETURN(SpawnedProcess process, Spawn(request));
  return std::unique_ptr<CopyProcess>(new CopyProcess(std::move(ours), std::move(process)));
}

CopyProcess::~CopyProcess() {
  Kill();
  siginfo_t info;  // one that hangs in the kernel stays, and is the kernel's to end
  ::waitid(P_PIDFD, static_cast<id_t>(process_.pidfd.get()), &info, WEXITED | WNOHANG);
}

void CopyProcess::Kill() const {
  ::syscall(SYS_pidfd_send_signal, process_.pidfd.get(), SIGKILL, nullptr, 0);
  pollfd ended = {.fd = process_.pidfd.get(), .events = POLLIN, .revents = 0};
  while (::poll(&ended, 1, kDeathMs) < 0 && errno == EINTR) {
  }
}

absl::Status CopyProcess::Wait(short events, const Cancelled& cancelled) const {
  const absl::Time until = SteadyNow() + kSilence;
  while (true) {
    if (cancelled()) return absl::CancelledError("copy: cancelled");
    pollfd ready = {.fd = channel_.get(), .events = events, .revents = 0};
    const int count = ::poll(&ready, 1, kPollMs);
    if (count > 0) return absl::OkStatus();
    if (count < 0 && errno != EINTR) return ErrnoStatus("poll", "berth-copy");
    if (SteadyNow() > until) {
      return absl::DeadlineExceededError(
          absl::StrCat("copy: a file system of the container has not answered for ",
                       absl::FormatDuration(kSilence)));
    }
  }
}

absl::StatusOr<CopyProcess::Packet> CopyProcess::Next(const Cancelled& cancelled) {
  std::string packet(kMaxPacketBytes, '\0');
  ssize_t n = -1;
  while (n < 0) {
    RETURN_IF_ERROR(Wait(POLLIN, cancelled));
    n = ::recv(channel_.get(), packet.data(), packet.size(), MSG_DONTWAIT);
    if (n < 0 && errno == ECONNRESET) n = 0;
    if (n < 0 && errno != EINTR && errno != EAGAIN) return ErrnoStatus("recv", "berth-copy");
  }
  if (n == 0) return absl::AbortedError("copy: it was ended before it was complete");
  packet.resize(static_cast<size_t>(n));
  const auto type = static_cast<CopyPacket>(packet[0]);
  packet.erase(0, 1);
  if (type == CopyPacket::kFailed) return DecodeCopyFailure(packet);
  return Packet{.type = type, .payload = std::move(packet)};
}

absl::Status CopyProcess::Send(const std::string& packet, const Cancelled& cancelled) {
  while (true) {
    RETURN_IF_ERROR(Wait(POLLOUT, cancelled));
    if (::send(channel_.get(), packet.data(), packet.size(), MSG_NOSIGNAL | MSG_DONTWAIT) >= 0)
      return absl::OkStatus();
    if (errno == EPIPE || errno == ECONNRESET)
      return absl::UnavailableError("copy: the helper has ended");
    if (errno != EINTR && errno != EAGAIN) return ErrnoStatus("send", "berth-copy");
  }
}

absl::Status CopyProcess::SendData(absl::string_view bytes, const Cancelled& cancelled) {
  return Send(absl::StrCat(std::string(1, static_cast<char>(CopyPacket::kData)), bytes), cancelled);
}

absl::Status CopyProcess::SendEnd(const Cancelled& cancelled) {
  return Send(std::string(1, static_cast<char>(CopyPacket::kEnd)), cancelled);
}

}  // namespace berth
