// For tests: network namespaces made for one test, and sockets inside them. Nothing of the
// machine's own network is ever touched. Needs root.
#pragma once

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "absl/strings/string_view.h"
#include "src/base/unique_fd.h"
#include "src/kernel/ip_address.h"
#include "src/kernel/netlink.h"

namespace berth {

inline UniqueFd OpenOwnNetns() {
  return UniqueFd(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
}

// A namespace with nothing but a `lo` that is down. It ends with the object (and the sockets made
// in it).
class NetworkNamespace {
 public:
  NetworkNamespace() {
    std::thread([this] {
      if (::unshare(CLONE_NEWNET) != 0) return;
      fd_ = OpenOwnNetns();
      route_.emplace(NetlinkSocket::Open(NETLINK_ROUTE).value());
      route_fd_.reset(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
    }).join();
  }
  bool valid() const { return route_fd_.valid(); }
  int fd() const { return fd_.get(); }
  int route_fd() const { return route_fd_.get(); }  // as a monitor hands it over
  NetlinkSocket& route() { return *route_; }

  // Runs `body` on a thread inside the namespace.
  void Run(const std::function<void()>& body) const {
    std::thread([&] {
      ASSERT_EQ(::setns(fd_.get(), CLONE_NEWNET), 0);
      body();
    }).join();
  }

 private:
  UniqueFd fd_, route_fd_;
  std::optional<NetlinkSocket> route_;
};

// The calling thread, and threads it starts, live in a namespace of their own until the end of the
// scope: the "host".
class ScopedHostNamespace {
 public:
  ScopedHostNamespace()
      : old_(OpenOwnNetns()), entered_(::unshare(CLONE_NEWNET) == 0), own_(OpenOwnNetns()) {}
  ScopedHostNamespace(const ScopedHostNamespace&) = delete;
  ScopedHostNamespace& operator=(const ScopedHostNamespace&) = delete;
  ~ScopedHostNamespace() {
    if (entered_ && ::setns(old_.get(), CLONE_NEWNET) != 0) std::abort();
  }
  bool valid() const { return entered_; }
  int fd() const { return own_.get(); }

 private:
  UniqueFd old_;
  bool entered_;
  UniqueFd own_;
};

inline std::pair<sockaddr_storage, socklen_t> SocketAddress(const IpAddress& address,
                                                            uint16_t port) {
  sockaddr_storage storage = {};
  if (address.family == AF_INET) {
    auto* ipv4 = reinterpret_cast<sockaddr_in*>(&storage);
    ipv4->sin_family = AF_INET;
    ipv4->sin_port = htons(port);
    std::copy_n(address.bytes.begin(), 4, reinterpret_cast<uint8_t*>(&ipv4->sin_addr));
    return {storage, sizeof(*ipv4)};
  }
  auto* ipv6 = reinterpret_cast<sockaddr_in6*>(&storage);
  ipv6->sin6_family = AF_INET6;
  ipv6->sin6_port = htons(port);
  std::copy_n(address.bytes.begin(), 16, reinterpret_cast<uint8_t*>(&ipv6->sin6_addr));
  return {storage, sizeof(*ipv6)};
}

// Connects by TCP from the namespace `from` to `address` in the namespace `to`, and returns the
// client's address as the server sees it. An empty string with a test failure when there is no way.
inline std::string ConnectedFrom(int from, int to, absl::string_view address) {
  const IpAddress target = ParseIpAddress(address).value();
  auto [server_address, length] = SocketAddress(target, 0);
  const auto socket_in = [&](int netns) {
    UniqueFd fd;
    std::thread([&] {
      if (::setns(netns, CLONE_NEWNET) == 0)
        fd.reset(::socket(target.family, SOCK_STREAM | SOCK_CLOEXEC, 0));
    }).join();
    // Bounds a failing test; a first packet that is lost is sent again after a second.
    const timeval limit = {.tv_sec = 20};
    ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    return fd;
  };
  const UniqueFd server = socket_in(to), client = socket_in(from);
  auto* generic = reinterpret_cast<sockaddr*>(&server_address);
  // getsockname(2) puts the port that the kernel chose into the address.
  if (::bind(server.get(), generic, length) != 0 || ::listen(server.get(), 1) != 0 ||
      ::getsockname(server.get(), generic, &length) != 0 ||
      (::connect(client.get(), generic, length) != 0 && errno != EINTR)) {
    ADD_FAILURE() << "connect " << std::string(address) << ": " << ::strerror(errno);
    return "";
  }
  sockaddr_storage peer = {};
  socklen_t peer_length = sizeof(peer);
  const UniqueFd accepted(
      ::accept4(server.get(), reinterpret_cast<sockaddr*>(&peer), &peer_length, SOCK_CLOEXEC));
  if (!accepted.valid()) {
    ADD_FAILURE() << "accept " << std::string(address) << ": " << ::strerror(errno);
    return "";
  }
  IpAddress seen{.family = target.family};
  const void* bytes = target.family == AF_INET
                          ? static_cast<void*>(&reinterpret_cast<sockaddr_in*>(&peer)->sin_addr)
                          : static_cast<void*>(&reinterpret_cast<sockaddr_in6*>(&peer)->sin6_addr);
  std::copy_n(static_cast<const uint8_t*>(bytes), seen.size(), seen.bytes.begin());
  return seen.ToString();
}

}  // namespace berth
