// Connections to ports of the pod, made in its network namespace, where the monitor is.
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "src/runtime/monitor/objects.h"
#include "src/runtime/monitor/pod.h"

namespace berth::monitor {
namespace {

constexpr int kMaxDials = 64;  // of one session at a time
constexpr int64_t kDialMs = 10000;

int ConnectLoopback(int fd, bool ipv6, uint16_t port) {
  if (ipv6) {
    const sockaddr_in6 to = {.sin6_family = AF_INET6,
                             .sin6_port = htons(port),
                             .sin6_flowinfo = 0,
                             .sin6_addr = IN6ADDR_LOOPBACK_INIT,
                             .sin6_scope_id = 0};
    return connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof(to));
  }
  const sockaddr_in to = {.sin_family = AF_INET,
                          .sin_port = htons(port),
                          .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)},
                          .sin_zero = {}};
  return connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof(to));
}

}  // namespace

void Pod::Connect(int connection, const Packet& packet) {
  wire::ConnectRequest request;
  if (!packet.Read(&request)) return SendError(connection, -1, EBADMSG, "connect request");
  const int step = static_cast<int>(request.request);
  if (request.port == 0) return SendError(connection, step, EINVAL, "connect");
  int others = 0;
  for (const Dial* each = dials_; each != nullptr; each = each->next)
    others += each->connection == connection;
  Dial* dial = others < kMaxDials ? Make<Dial>() : nullptr;
  if (dial == nullptr)
    return SendError(connection, step, others < kMaxDials ? ENOMEM : EAGAIN, "connect");
  dial->pod = this;
  dial->connection = connection;
  dial->request = request;
  dial->handler = {[](void* owner, int) {
                     auto* self = static_cast<Dial*>(owner);
                     self->pod->DialReady(self);
                   },
                   dial, 0};
  dial->deadline = {.fire =
                        [](void* owner) {
                          auto* self = static_cast<Dial*>(owner);
                          self->pod->DialFailed(self, ETIMEDOUT);
                        },
                    .owner = dial};
  dial->next = dials_;
  dials_ = dial;
  StartDial(dial);
}

// What is not connected at once is waited for.
void Pod::StartDial(Dial* dial) {
  dial->fd = socket(dial->ipv6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (dial->fd >= 0 && ConnectLoopback(dial->fd, dial->ipv6, dial->request.port) == 0)
    return DialDone(dial);
  if (dial->fd < 0 || errno != EINPROGRESS) return DialFailed(dial, errno);
  loop_->AddWriter(dial->fd, &dial->handler);
  loop_->Arm(&dial->deadline, kDialMs);
}

void Pod::DialReady(Dial* dial) {
  int error = 0;
  socklen_t length = sizeof(error);
  if (getsockopt(dial->fd, SOL_SOCKET, SO_ERROR, &error, &length) != 0) error = errno;
  loop_->Remove(dial->fd);
  loop_->Disarm(&dial->deadline);
  return error == 0 ? DialDone(dial) : DialFailed(dial, error);
}

void Pod::DialDone(Dial* dial) {
  const wire::ConnectedReply reply = {.request = dial->request.request};
  // A session that does not read its answers would wait for this one for ever.
  if (!Send(dial->connection, wire::Type::kConnected, &reply, sizeof(reply), &dial->fd, 1))
    shutdown(dial->connection, SHUT_RDWR);
  RemoveDial(dial);
}

// Told is why IPv4 failed: where there is no IPv6, its error says nothing.
void Pod::DialFailed(Dial* dial, int error) {
  if (!dial->ipv6) {
    dial->ipv4_error = error;
    dial->ipv6 = true;
    if (dial->fd >= 0) loop_->Remove(dial->fd);
    CloseFd(&dial->fd);
    return StartDial(dial);
  }
  SendError(dial->connection, static_cast<int>(dial->request.request), dial->ipv4_error, "connect");
  RemoveDial(dial);
}

void Pod::RemoveDial(Dial* dial) {
  loop_->Disarm(&dial->deadline);
  if (dial->fd >= 0) loop_->Remove(dial->fd);
  CloseFd(&dial->fd);
  Unlink(&dials_, dial);
  Destroy(dial);
}

}  // namespace berth::monitor
