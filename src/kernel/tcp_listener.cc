#include "src/kernel/tcp_listener.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "src/base/status_macros.h"
#include "src/kernel/ip_address.h"

namespace berth {
namespace {

struct Endpoint {
  IpAddress address;
  uint32_t port = 0;
};

absl::StatusOr<Endpoint> ParseEndpoint(absl::string_view text) {
  const size_t colon = text.rfind(':');
  Endpoint endpoint;
  if (colon == absl::string_view::npos ||
      !absl::SimpleAtoi(text.substr(colon + 1), &endpoint.port) || endpoint.port > 65535) {
    return absl::InvalidArgumentError(absl::StrCat("listen on \"", text, "\": not ADDRESS:PORT"));
  }
  absl::string_view host = text.substr(0, colon);
  const bool brackets = absl::ConsumePrefix(&host, "[") && absl::ConsumeSuffix(&host, "]");
  ASSIGN_OR_RETURN(endpoint.address, ParseIpAddress(host));
  if (brackets != (endpoint.address.family == AF_INET6)) {
    return absl::InvalidArgumentError(
        absl::StrCat("listen on \"", text, "\": an IPv6 address, and no other, stands in []"));
  }
  return endpoint;
}

socklen_t Fill(const Endpoint& endpoint, sockaddr_storage* storage) {
  const uint16_t port = htons(static_cast<uint16_t>(endpoint.port));
  if (endpoint.address.family == AF_INET6) {
    auto* v6 = reinterpret_cast<sockaddr_in6*>(storage);
    v6->sin6_family = AF_INET6;
    v6->sin6_port = port;
    std::memcpy(&v6->sin6_addr, endpoint.address.bytes.data(), 16);
    return sizeof(*v6);
  }
  auto* v4 = reinterpret_cast<sockaddr_in*>(storage);
  v4->sin_family = AF_INET;
  v4->sin_port = port;
  std::memcpy(&v4->sin_addr, endpoint.address.bytes.data(), 4);
  return sizeof(*v4);
}

}  // namespace

absl::StatusOr<TcpListener> ListenTcp(absl::string_view address) {
  ASSIGN_OR_RETURN(const Endpoint endpoint, ParseEndpoint(address));
  const std::string name(address);
  TcpListener listener;
  listener.socket.reset(::socket(endpoint.address.family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!listener.socket.valid()) return ErrnoStatus("socket", name);
  const int fd = listener.socket.get(), on = 1;
  // A daemon that is started again takes its port over from connections that are being forgotten.
  ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  sockaddr_storage storage = {};
  socklen_t length = Fill(endpoint, &storage);
  auto* bound = reinterpret_cast<sockaddr*>(&storage);
  if (::bind(fd, bound, length) != 0) return ErrnoStatus("bind", name);
  if (::listen(fd, SOMAXCONN) != 0) return ErrnoStatus("listen", name);
  if (::getsockname(fd, bound, &length) != 0) return ErrnoStatus("getsockname", name);
  const bool v6 = endpoint.address.family == AF_INET6;
  const int port = ntohs(v6 ? reinterpret_cast<sockaddr_in6*>(&storage)->sin6_port
                            : reinterpret_cast<sockaddr_in*>(&storage)->sin_port);
  const std::string host = endpoint.address.ToString();
  listener.address = v6 ? absl::StrCat("[", host, "]:", port) : absl::StrCat(host, ":", port);
  const auto& bytes = endpoint.address.bytes;
  listener.any_address = std::all_of(bytes.begin(), bytes.end(), [](uint8_t b) { return b == 0; });
  listener.loopback = v6 ? host == "::1" : bytes[0] == 127;
  return listener;
}

}  // namespace berth
