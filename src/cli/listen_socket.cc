#include "src/cli/listen_socket.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <utility>

#include "src/base/status_macros.h"

namespace berth::cli {
namespace {

constexpr int kBacklog = 128;
constexpr int kTriesForAFreePort = 16;

struct Address {
  sockaddr_storage bytes = {};
  socklen_t size = 0;
};

Address MakeAddress(const std::string& text, uint16_t port) {
  Address address;
  auto* v4 = reinterpret_cast<sockaddr_in*>(&address.bytes);
  auto* v6 = reinterpret_cast<sockaddr_in6*>(&address.bytes);
  if (inet_pton(AF_INET, text.c_str(), &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(port);
    address.size = sizeof(*v4);
  } else if (inet_pton(AF_INET6, text.c_str(), &v6->sin6_addr) == 1) {
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(port);
    address.size = sizeof(*v6);
  }
  return address;
}

uint16_t PortOf(int socket) {
  Address address{.size = sizeof(sockaddr_storage)};
  getsockname(socket, reinterpret_cast<sockaddr*>(&address.bytes), &address.size);
  return ntohs(address.bytes.ss_family == AF_INET
                   ? reinterpret_cast<sockaddr_in*>(&address.bytes)->sin_port
                   : reinterpret_cast<sockaddr_in6*>(&address.bytes)->sin6_port);
}

absl::StatusOr<UniqueFd> Listen(const std::string& text, uint16_t port) {
  const Address address = MakeAddress(text, port);
  const std::string endpoint = FormatEndpoint(text, port);
  UniqueFd fd(socket(address.bytes.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) return ErrnoStatus("socket", endpoint);
  const int on = 1;
  setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  if (address.bytes.ss_family == AF_INET6)
    setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
  if (bind(fd.get(), reinterpret_cast<const sockaddr*>(&address.bytes), address.size) != 0 ||
      listen(fd.get(), kBacklog) != 0) {
    return ErrnoStatus("listen on", endpoint);
  }
  return fd;
}

// Whether the node lacks the address, rather than the port being taken.
bool HasNoSuchAddress(int error) { return error == EADDRNOTAVAIL || error == EAFNOSUPPORT; }

absl::StatusOr<std::vector<ListenSocket>> TryOnce(const PortSpec& spec, bool* port_is_taken) {
  std::vector<ListenSocket> sockets;
  absl::Status first_failure;
  uint16_t port = spec.local;
  for (const std::string& address : spec.addresses) {
    absl::StatusOr<UniqueFd> fd = Listen(address, port);
    const int error = errno;
    if (!fd.ok() && HasNoSuchAddress(error)) {
      first_failure.Update(fd.status());
      continue;
    }
    *port_is_taken = !fd.ok() && error == EADDRINUSE;
    if (!fd.ok()) return fd.status();
    if (port == 0) port = PortOf(fd->get());
    sockets.push_back(
        {.fd = *std::move(fd), .address = address, .local = port, .remote = spec.remote});
  }
  if (sockets.empty()) return first_failure;
  return sockets;
}

}  // namespace

absl::StatusOr<std::vector<ListenSocket>> ListenOn(const PortSpec& spec) {
  for (int tries = 1;; ++tries) {
    bool port_is_taken = false;
    auto sockets = TryOnce(spec, &port_is_taken);
    // A port that was free on the first address only: another one may be free on all.
    const bool again = port_is_taken && spec.local == 0 && tries < kTriesForAFreePort;
    if (sockets.ok() || !again) return sockets;
  }
}

}  // namespace berth::cli
