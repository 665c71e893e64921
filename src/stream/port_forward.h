// One port-forward: connections of the client, each a pair of streams, joined with connections into
// the pod. Not thread-safe.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "src/stream/client_stream.h"
#include "src/stream/event.h"
#include "src/stream/port_connector.h"
#include "src/stream/spdy_streams.h"
#include "src/stream/websocket_channels.h"

namespace berth {

class PortForward {
 public:
  PortForward(const Executor& executor, UniqueFd monitor, std::chrono::seconds idle_timeout,
              Activity& activity, Event& changed);

  // Until the client or the pod is gone, or nothing was sent for too long. Each runs once; the
  // object must live as long as the io_context.
  asio::awaitable<void> Serve(SpdyStreams& client);
  asio::awaitable<void> Serve(WebSocketChannels& client, const std::vector<uint16_t>& ports);

 private:
  // Streams of one connection that wait for each other.
  struct Pair {
    std::unique_ptr<SpdyStream> data, error;
    Clock::time_point expires;
  };

  struct Joint;

  asio::awaitable<void> Accept(SpdyStreams& client);
  void Add(std::unique_ptr<SpdyStream> stream);
  // Gives up pairs that stay incomplete.
  asio::awaitable<void> Expire();
  asio::awaitable<void> GiveUp(Pair pair);
  asio::awaitable<void> JoinPair(Pair pair, std::string port);
  // Carries out what two streams ask for, until both ends have closed.
  asio::awaitable<void> Join(ClientStream& data, ClientStream& error, std::string port);
  asio::awaitable<absl::Status> Carry(ClientStream& data, UniqueFd connection);
  asio::awaitable<void> CarryInput(ClientStream& data, Joint& joint);
  bool MustEnd(const ClientLink& client) const;

  const Executor executor_;
  const std::chrono::seconds idle_timeout_;
  Activity& activity_;
  Event& changed_;
  PortConnector connector_;
  std::map<std::string, Pair> waiting_;  // by request id
  size_t joined_ = 0;
};

}  // namespace berth
