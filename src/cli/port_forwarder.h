// Carries TCP connections of this machine to ports of a pod, each by a session of its own.
#pragma once

#include <functional>
#include <list>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "src/cli/interrupt.h"
#include "src/cli/listen_socket.h"
#include "src/cli/session_signals.h"
#include "src/cli/stream_connection.h"

namespace berth::cli {

class ForwardedConnection;

// Not thread-safe.
class PortForwarder {
 public:
  struct Hooks {
    // The URL of a new session to a port of the pod.
    std::function<absl::StatusOr<std::string>(uint16_t port)> open_session;
    // A connection that was not carried, or not to its end.
    std::function<void(const absl::Status&)> on_failure;
  };
  PortForwarder(std::vector<ListenSocket> listeners, Hooks hooks);
  ~PortForwarder();

  // Serves until a signal comes. NotFound: there is no such pod any more.
  absl::Status Run(Interrupt& interrupt, SessionSignals& signals);

 private:
  absl::Status Accept(const ListenSocket& listener);

  const std::vector<ListenSocket> listeners_;
  const Hooks hooks_;
  bool full_ = false;
  StreamLoop loop_;
  std::list<std::unique_ptr<ForwardedConnection>> connections_;
};

}  // namespace berth::cli
