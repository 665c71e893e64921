// What berth-stream asks of berthd: what a token stands for, and the session's descriptors
// (docs/formats/stream-protocol.md). Not thread-safe.
#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "src/base/unique_fd.h"
#include "src/stream/packet_socket.h"
#include "src/stream/session_protocol.h"

namespace berth {

struct RedeemedSession {
  wire::SessionKind kind = wire::SessionKind::kExec;
  uint32_t flags = 0;  // SessionFlag
  std::vector<uint16_t> ports;
};

struct BegunSession {
  UniqueFd monitor;
  // Those that the session has. With a terminal only `out`, for both ways.
  UniqueFd in, out, err;
  bool terminal = false;
};

class ControlChannel {
 public:
  ControlChannel(const Executor& executor, UniqueFd fd) : socket_(executor, std::move(fd)) {}

  // Each once, in this order. What berthd refuses comes with its code and its words; Unavailable:
  // berthd is gone; Internal: it spoke another language.
  asio::awaitable<absl::StatusOr<RedeemedSession>> Redeem(wire::SessionKind kind,
                                                          absl::string_view token);
  asio::awaitable<absl::StatusOr<BegunSession>> Begin(uint16_t rows, uint16_t columns);
  void Close() { socket_.Close(); }

 private:
  PacketSocket socket_;
};

// What an exec that berthd refused ends with, because its program is not there or cannot run; else
// 0.
int ExitCodeOf(const absl::Status& refused);

// Of Redeem and Begin: the meaning of an answer.
absl::StatusOr<RedeemedSession> ReadRedeemed(const Packet& packet);
absl::StatusOr<BegunSession> ReadBegun(Packet packet);

}  // namespace berth
