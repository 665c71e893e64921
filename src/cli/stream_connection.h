// A WebSocket to one session of berthd's streaming server: messages in and out, for a poll(2) loop.
// The one place of the command line that uses Boost.Beast. Not thread-safe.
#pragma once

#include <poll.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace berth::cli {

// Carries connections on. A loop polls what they want (Interest) and then calls RunReady.
class StreamLoop {
 public:
  StreamLoop();
  StreamLoop(const StreamLoop&) = delete;
  StreamLoop& operator=(const StreamLoop&) = delete;
  ~StreamLoop();

  // Does what can be done without waiting; hooks of connections are called from here only. To be
  // called at least once a second: connections have deadlines.
  void RunReady();

 private:
  friend class StreamConnection;
  struct Context;
  std::unique_ptr<Context> context_;
};

class StreamConnection {
 public:
  // Must not destroy the connection.
  struct Hooks {
    std::function<void()> on_open = [] {};
    std::function<void(absl::string_view message)> on_message;
    // Once. OK: closed in order. Before on_open it says why there is no session.
    std::function<void(const absl::Status&)> on_end;
  };

  // Begins to connect; `protocols` are offered in this order. The loop must outlive the connection.
  // A certificate is looked at only where the address is not of this machine
  // (StreamUrl::IsLoopback); then it must be good for the system's authorities.
  static absl::StatusOr<std::unique_ptr<StreamConnection>> Start(
      StreamLoop& loop, absl::string_view url, const std::vector<std::string>& protocols,
      Hooks hooks);
  virtual ~StreamConnection() = default;

  // The protocol that the server chose; "" before on_open.
  virtual const std::string& protocol() const = 0;
  virtual pollfd Interest() const = 0;
  // Queues a message. Not after Close or on_end.
  virtual void Send(std::string message) = 0;
  // Bytes that Send was given and the socket has not taken.
  virtual size_t queued_bytes() const = 0;
  // Whether to go on reading messages; true at first.
  virtual void SetReading(bool reading) = 0;
  // Sends what is queued, then says goodbye. on_end follows.
  virtual void Close() = 0;
};

}  // namespace berth::cli
