// From an accepted connection to a session's transport: TLS, the HTTP head, the token, the answer.
#pragma once

#include <memory>
#include <optional>

#include <boost/asio/ssl/context.hpp>

#include "src/stream/asio.h"
#include "src/stream/control_channel.h"
#include "src/stream/request_head.h"
#include "src/stream/transport.h"

namespace berth {

using ClientSocket = asio::generic::stream_protocol::socket;

struct UpgradedSession {
  std::unique_ptr<Transport> transport;
  UpgradeRequest request;
  RedeemedSession redeemed;
};

// nullopt: the client was refused, or is gone. Without `tls` the connection speaks plain HTTP. A
// client that takes longer than 10 s is cut off.
asio::awaitable<std::optional<UpgradedSession>> Upgrade(ClientSocket socket,
                                                        asio::ssl::context* tls,
                                                        ControlChannel& control);

// The answer to a client whose token berthd refused.
HttpRefusal RefusalOf(const absl::Status& status);

}  // namespace berth
