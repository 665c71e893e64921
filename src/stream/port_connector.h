// Connections into the pod's network, made by its monitor (docs/formats/monitor-protocol.md). Not
// thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <optional>

#include "absl/status/statusor.h"
#include "src/base/unique_fd.h"
#include "src/stream/event.h"
#include "src/stream/packet_socket.h"

namespace berth {

class PortConnector {
 public:
  PortConnector(const Executor& executor, UniqueFd monitor, Event& changed)
      : monitor_(executor, std::move(monitor)), answered_(executor), changed_(changed) {}

  // Takes the monitor's answers. Runs once, until the monitor is gone.
  asio::awaitable<void> Run();
  // To the loopback address of the pod, IPv4 or else IPv6. Several may be underway.
  asio::awaitable<absl::StatusOr<UniqueFd>> Connect(uint16_t port);
  // The pod is no more.
  bool gone() const { return gone_; }

 private:
  bool Take(Packet packet);

  PacketSocket monitor_;
  Event answered_;
  Event& changed_;
  uint32_t next_id_ = 1;
  std::map<uint32_t, std::optional<absl::StatusOr<UniqueFd>>> underway_;  // by id
  bool gone_ = false;
};

}  // namespace berth
