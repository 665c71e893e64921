// For tests: one question and one answer between network namespaces, and packets that no socket of
// an honest program sends.
#pragma once

#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <poll.h>

#include <array>
#include <string>

#include "src/kernel/rtnetlink.h"
#include "src/kernel/testing/network_namespace.h"

namespace berth {

inline constexpr int kExchangeMilliseconds = 10000;  // of a test that fails

inline UniqueFd SocketIn(int netns, int family, int type, int protocol = 0) {
  UniqueFd fd;
  std::thread([&] {
    if (::setns(netns, CLONE_NEWNET) == 0)
      fd.reset(::socket(family, type | SOCK_CLOEXEC, protocol));
  }).join();
  const timeval limit = {.tv_sec = kExchangeMilliseconds / 1000};
  ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
  ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
  const int on = 1;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  return fd;
}

inline bool Bind(const UniqueFd& fd, const IpAddress& address, uint16_t port) {
  const auto [where, length] = SocketAddress(address, port);
  return ::bind(fd.get(), reinterpret_cast<const sockaddr*>(&where), length) == 0;
}

// A socket that somebody has bound, and by TCP listens on.
class Listener {
 public:
  Listener(int netns, const std::string& address, uint16_t port, int type) {
    const IpAddress where = ParseIpAddress(address).value();
    fd_ = SocketIn(netns, where.family, type);
    EXPECT_TRUE(Bind(fd_, where, port)) << ::strerror(errno);
    if (type == SOCK_STREAM) {
      EXPECT_EQ(::listen(fd_.get(), 4), 0);
    }
  }
  int fd() const { return fd_.get(); }

 private:
  UniqueFd fd_;
};

inline std::string PeerText(const sockaddr_storage& peer) {
  IpAddress address{.family = peer.ss_family};
  const void* bytes =
      peer.ss_family == AF_INET
          ? static_cast<const void*>(&reinterpret_cast<const sockaddr_in*>(&peer)->sin_addr)
          : static_cast<const void*>(&reinterpret_cast<const sockaddr_in6*>(&peer)->sin6_addr);
  std::copy_n(static_cast<const uint8_t*>(bytes), address.size(), address.bytes.begin());
  return address.ToString();
}

// Asks at one address and port, each time from the same port of its own if it has one.
class Client {
 public:
  Client(int netns, const std::string& address, uint16_t port, int type, uint16_t own_port = 0)
      : netns_(netns),
        address_(ParseIpAddress(address).value()),
        port_(port),
        own_port_(own_port),
        type_(type) {}

  // The client's address as a server on `server_port` of `server` sees it; "" when the question
  // does not get there, "no answer" when only the answer is lost.
  std::string Ask(int server, uint16_t server_port) const {
    const IpAddress any{.family = address_.family};
    const UniqueFd serving = SocketIn(server, any.family, type_);
    const UniqueFd asking = SocketIn(netns_, any.family, type_);
    if (!Bind(serving, any, server_port) ||
        (type_ == SOCK_STREAM && ::listen(serving.get(), 4) != 0) ||
        (own_port_ != 0 && !Bind(asking, any, own_port_))) {
      ADD_FAILURE() << "bind: " << ::strerror(errno);
      return "";
    }
    // A connection ends at once, so that its port can be used again.
    const linger at_once = {.l_onoff = 1, .l_linger = 0};
    ::setsockopt(asking.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    const auto [where, length] = SocketAddress(address_, port_);
    if (::connect(asking.get(), reinterpret_cast<const sockaddr*>(&where), length) != 0) return "";
    if (type_ == SOCK_DGRAM && ::send(asking.get(), "?", 1, 0) != 1) return "";
    pollfd ends[2] = {{.fd = serving.get(), .events = POLLIN, .revents = 0},
                      {.fd = asking.get(), .events = 0, .revents = 0}};
    if (::poll(ends, 2, kExchangeMilliseconds) <= 0 || ends[0].revents == 0) return "";
    sockaddr_storage peer = {};
    socklen_t peer_length = sizeof(peer);
    auto* from = reinterpret_cast<sockaddr*>(&peer);
    char byte;
    UniqueFd accepted;
    if (type_ == SOCK_STREAM) {
      accepted.reset(::accept4(serving.get(), from, &peer_length, SOCK_CLOEXEC));
      if (!accepted.valid() || ::send(accepted.get(), "!", 1, MSG_NOSIGNAL) != 1) return "";
    } else if (::recvfrom(serving.get(), &byte, 1, 0, from, &peer_length) != 1 ||
               ::sendto(serving.get(), "!", 1, 0, from, peer_length) != 1) {
      return "";
    }
    return ::recv(asking.get(), &byte, 1, 0) == 1 && byte == '!' ? PeerText(peer) : "no answer";
  }

 private:
  const int netns_;
  const IpAddress address_;
  const uint16_t port_, own_port_;
  const int type_;
};

struct ExchangeSpec {
  int server = -1;  // namespaces
  uint16_t server_port = 0;
  int client = -1;
  std::string address;
  uint16_t port = 0;
  int type = SOCK_STREAM;
};
inline std::string Exchange(const ExchangeSpec& spec) {
  return Client(spec.client, spec.address, spec.port, spec.type).Ask(spec.server, spec.server_port);
}

inline uint32_t Crc32c(const uint8_t* data, size_t size) {
  uint32_t crc = ~0u;
  for (size_t i = 0; i < size; ++i) {
    crc ^= data[i];
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78 : 0);
  }
  return ~crc;
}

// Sends the first packet of an SCTP association (RFC 9260, 3.3.2), which needs no SCTP in the
// kernel; returns where it comes from for whom it arrives at with the port `server_port`.
inline std::string SctpInitArrives(int client, const std::string& address, uint16_t port,
                                   int server, uint16_t server_port) {
  const IpAddress target = ParseIpAddress(address).value();
  const UniqueFd receiving = SocketIn(server, target.family, SOCK_RAW, IPPROTO_SCTP);
  const UniqueFd sending = SocketIn(client, target.family, SOCK_RAW, IPPROTO_SCTP);
  std::array<uint8_t, 32> packet = {0x30, 0x39, static_cast<uint8_t>(port >> 8),
                                    static_cast<uint8_t>(port)};
  const std::array<uint8_t, 20> init = {1, 0, 0, 20, 0, 0, 0, 1, 0, 1,
                                        0, 0, 0, 1,  0, 1, 0, 0, 0, 1};
  std::copy(init.begin(), init.end(), packet.begin() + 12);
  const uint32_t crc = Crc32c(packet.data(), packet.size());
  std::memcpy(packet.data() + 8, &crc, sizeof(crc));  // least significant byte first
  const auto [where, length] = SocketAddress(target, 0);
  if (::sendto(sending.get(), packet.data(), packet.size(), 0,
               reinterpret_cast<const sockaddr*>(&where), length) < 0) {
    ADD_FAILURE() << "send SCTP: " << ::strerror(errno);
    return "";
  }
  while (true) {
    std::array<uint8_t, 2048> got;
    sockaddr_storage peer = {};
    socklen_t peer_length = sizeof(peer);
    const ssize_t n = ::recvfrom(receiving.get(), got.data(), got.size(), 0,
                                 reinterpret_cast<sockaddr*>(&peer), &peer_length);
    if (n < 0) return "";
    const size_t header = target.family == AF_INET ? size_t{4} * (got[0] & 15) : 0;
    if (static_cast<size_t>(n) < header + 4) continue;
    if ((got[header + 2] << 8 | got[header + 3]) == server_port) return PeerText(peer);
  }
}

struct RawDatagram {
  int netns = -1;
  std::string interface;
  MacAddress to_mac;
  std::string from, to;  // IPv4
  uint16_t port = 0;
};
// Past the sender's own routing.
inline bool SendRaw(const RawDatagram& datagram) {
  const UniqueFd fd = SocketIn(datagram.netns, AF_PACKET, SOCK_DGRAM, htons(ETH_P_IP));
  int index = 0;
  std::thread([&] {
    if (::setns(datagram.netns, CLONE_NEWNET) == 0)
      index = static_cast<int>(::if_nametoindex(datagram.interface.c_str()));
  }).join();
  struct {
    iphdr ip;
    udphdr udp;
    char payload[4];
  } packet = {};
  packet.ip = {
      .ihl = 5, .version = 4, .tot_len = htons(sizeof(packet)), .ttl = 64, .protocol = IPPROTO_UDP};
  const IpAddress from = ParseIpAddress(datagram.from).value(),
                  to = ParseIpAddress(datagram.to).value();
  std::memcpy(&packet.ip.saddr, from.bytes.data(), 4);
  std::memcpy(&packet.ip.daddr, to.bytes.data(), 4);
  uint32_t sum = 0;
  std::array<uint16_t, sizeof(iphdr) / 2> words;
  std::memcpy(words.data(), &packet.ip, sizeof(packet.ip));
  for (const uint16_t word : words) sum += word;
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  packet.ip.check = static_cast<uint16_t>(~sum);
  packet.udp.source = htons(4444);
  packet.udp.dest = htons(datagram.port);
  packet.udp.len = htons(sizeof(packet) - sizeof(iphdr));
  sockaddr_ll where = {.sll_family = AF_PACKET,
                       .sll_protocol = htons(ETH_P_IP),
                       .sll_ifindex = index,
                       .sll_halen = 6};
  std::copy(datagram.to_mac.begin(), datagram.to_mac.end(), where.sll_addr);
  return ::sendto(fd.get(), &packet, sizeof(packet), 0, reinterpret_cast<const sockaddr*>(&where),
                  sizeof(where)) == sizeof(packet);
}

}  // namespace berth
