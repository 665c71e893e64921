// A SOCK_SEQPACKET connection on the event loop: packets with a head, a struct and descriptors. Not
// thread-safe.
#pragma once

#include <optional>
#include <string>
#include <type_traits>

#include "absl/strings/string_view.h"
#include "src/base/unique_fd.h"
#include "src/kernel/socket.h"
#include "src/stream/asio.h"

namespace berth {

class PacketSocket {
 public:
  PacketSocket(const Executor& executor, UniqueFd fd) : fd_(executor, fd.release()) {}

  // The next packet; nullopt: the peer is gone. One at a time.
  asio::awaitable<std::optional<Packet>> Receive();
  // False: the peer is gone, or does not read.
  bool Send(absl::string_view packet) { return SendPacket(fd_.native_handle(), packet, {}).ok(); }
  void Close() {
    ErrorCode ignored;
    fd_.close(ignored);
  }

 private:
  asio::posix::stream_descriptor fd_;
};

// A packet of `head` and `body`, which are plain structs of a wire header.
template <class Head, class Body>
std::string MakePacket(const Head& head, const Body& body) {
  static_assert(std::is_trivially_copyable_v<Head> && std::is_trivially_copyable_v<Body>);
  std::string packet(reinterpret_cast<const char*>(&head), sizeof(head));
  packet.append(reinterpret_cast<const char*>(&body), sizeof(body));
  return packet;
}

// The struct behind the head of `packet`; nullopt if the length is not that of both.
template <class Head, class Body>
std::optional<Body> ReadBody(absl::string_view packet) {
  static_assert(std::is_trivially_copyable_v<Body>);
  if (packet.size() != sizeof(Head) + sizeof(Body)) return std::nullopt;
  Body body;
  packet.copy(reinterpret_cast<char*>(&body), sizeof(body), sizeof(Head));
  return body;
}

}  // namespace berth
