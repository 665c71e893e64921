#include "src/stream/packet_socket.h"

#include <utility>

#include "absl/time/time.h"

namespace berth {

asio::awaitable<std::optional<Packet>> PacketSocket::Receive() {
  constexpr size_t kMaxPacket = 16 << 10;
  ErrorCode error;
  co_await fd_.async_wait(asio::posix::stream_descriptor::wait_read, Into(error));
  if (error) co_return std::nullopt;
  absl::StatusOr<Packet> packet =
      ReceivePacket(fd_.native_handle(), absl::InfinitePast(), kMaxPacket);
  if (!packet.ok()) co_return std::nullopt;
  co_return *std::move(packet);
}

}  // namespace berth
