#include "src/server/listener.h"

#include <fcntl.h>
#include <grpcpp/server_posix.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/match.h"
#include "absl/time/clock.h"
#include "src/base/status_macros.h"
#include "src/base/steady_time.h"

namespace berth {
namespace {

// RFC 9113, 3.4: what a client sends first.
constexpr absl::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
constexpr absl::Duration kComplainInterval = absl::Seconds(1);
constexpr int kEvents = 64;
constexpr uint64_t kSocketKey = 0, kStopKey = 1, kFirstConnection = 2;

pid_t PeerOf(int fd) {
  ucred peer = {};
  socklen_t length = sizeof(peer);
  return ::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 ? peer.pid : 0;
}

bool HasEnded(int fd) {
  pollfd state = {.fd = fd, .events = POLLRDHUP, .revents = 0};
  return ::poll(&state, 1, 0) > 0;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Listener>> Listener::Start(UniqueFd socket, const Limits& limits,
                                                          grpc::Server& server, const Log& log) {
  std::unique_ptr<Listener> listener(new Listener(std::move(socket), limits, server, log));
  for (const auto& [key, fd] : {std::pair(kSocketKey, listener->socket_.get()),
                                std::pair(kStopKey, listener->stop_.get())}) {
    epoll_event event = {.events = EPOLLIN, .data = {.u64 = key}};
    if (::epoll_ctl(listener->epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0)
      return ErrnoStatus("epoll_ctl", "listener");
  }
  listener->thread_ = std::thread([raw = listener.get()] { raw->Run(); });
  return listener;
}

Listener::Listener(UniqueFd socket, const Limits& limits, grpc::Server& server, const Log& log)
    : limits_(limits),
      socket_(std::move(socket)),
      stop_(::eventfd(0, EFD_CLOEXEC)),
      epoll_(::epoll_create1(EPOLL_CLOEXEC)),
      server_(server),
      log_(log),
      next_key_(kFirstConnection) {}

Listener::~Listener() {
  if (!thread_.joinable()) return;
  ::eventfd_write(stop_.get(), 1);
  thread_.join();
}

void Listener::Run() {
  while (true) {
    epoll_event ready[kEvents];
    const int count = ::epoll_wait(epoll_.get(), ready, kEvents, MillisecondsToWait());
    for (int i = 0; i < count; ++i) {
      if (ready[i].data.u64 == kStopKey) return;
      if (ready[i].data.u64 == kSocketKey) {
        Accept();
      } else {
        Hear(ready[i].data.u64);
      }
    }
    CloseOverdue();
  }
}

int Listener::MillisecondsToWait() const {
  if (silent_.empty()) return -1;
  const absl::Time due = connections_.at(*silent_.begin()).due;
  return static_cast<int>(std::max<int64_t>(0, absl::ToInt64Milliseconds(due - SteadyNow()) + 1));
}

void Listener::Accept() {
  UniqueFd fd(::accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!fd.valid()) {
    if (errno != EMFILE && errno != ENFILE && errno != ENOMEM && errno != ENOBUFS) return;
    log_.Error("connection not accepted", {{"error", strerror(errno)}});
    absl::SleepFor(absl::Milliseconds(100));  // the cause does not go away by asking again at once
    return;
  }
  const uint64_t key = next_key_++;
  // Edges: the bytes stay where they are, for gRPC.
  epoll_event event = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET, .data = {.u64 = key}};
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd.get(), &event) != 0) return;
  const pid_t peer = PeerOf(fd.get());
  connections_[key] = {.fd = std::move(fd), .peer = peer, .due = SteadyNow() + limits_.silence};
  silent_.insert(key);
}

void Listener::Hear(uint64_t key) {
  const auto found = connections_.find(key);
  if (found == connections_.end()) return;
  Connection& connection = found->second;
  if (!silent_.contains(key)) return Close(key);
  char bytes[kPreface.size()];
  const ssize_t length = ::recv(connection.fd.get(), bytes, sizeof(bytes), MSG_PEEK);
  if (length < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (length <= 0 || !absl::StartsWith(kPreface, {bytes, static_cast<size_t>(length)}))
    return Close(key);
  if (static_cast<size_t>(length) < kPreface.size()) return;
  if (!HasRoomFor(connection.peer)) ForgetEnded();
  if (HasRoomFor(connection.peer)) return HandOver(key, connection);
  if (SteadyNow() - complained_ > kComplainInterval) {
    complained_ = SteadyNow();
    log_.Warning("connection refused: too many",
                 {{"pid", connection.peer}, {"max_connections", limits_.max_connections}});
  }
  Close(key);
}

void Listener::HandOver(uint64_t key, Connection& connection) {
  const int second = ::fcntl(connection.fd.get(), F_DUPFD_CLOEXEC, 0);
  if (second < 0) {
    log_.Error("connection not accepted", {{"error", strerror(errno)}});
    return Close(key);
  }
  epoll_event event = {.events = EPOLLRDHUP | EPOLLET, .data = {.u64 = key}};
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, connection.fd.get(), &event);
  silent_.erase(key);
  grpc::AddInsecureChannelFromFd(&server_, second);
}

void Listener::Close(uint64_t key) {
  silent_.erase(key);
  connections_.erase(key);
}

void Listener::ForgetEnded() {
  for (auto at = connections_.begin(); at != connections_.end();) {
    const bool ended = !silent_.contains(at->first) && HasEnded(at->second.fd.get());
    at = ended ? connections_.erase(at) : std::next(at);
  }
}

bool Listener::HasRoomFor(pid_t peer) const {
  size_t of_peer = 0;
  for (const auto& [key, connection] : connections_)
    of_peer += connection.peer == peer && !silent_.contains(key) ? 1 : 0;
  return connections_.size() - silent_.size() < limits_.max_connections &&
         of_peer < limits_.PerProcess();
}

void Listener::CloseOverdue() {
  while (!silent_.empty() && (silent_.size() > limits_.max_silent ||
                              connections_.at(*silent_.begin()).due <= SteadyNow())) {
    Close(*silent_.begin());
  }
}

}  // namespace berth
