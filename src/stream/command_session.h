// One exec or attach: bytes between the client's streams and the process, until the process has
// ended or the client is gone. Not thread-safe.
#pragma once

#include <chrono>
#include <optional>

#include "src/stream/client_stream.h"
#include "src/stream/control_channel.h"
#include "src/stream/event.h"
#include "src/stream/packet_socket.h"
#include "src/stream/resize_parser.h"
#include "src/stream/session_outcome.h"

namespace berth {

// Borrowed; nullptr where the session has no such stream.
struct CommandStreams {
  ClientStream* error = nullptr;
  ClientStream* in = nullptr;
  ClientStream* out = nullptr;
  ClientStream* err = nullptr;
  ClientStream* resize = nullptr;
};

class CommandSession {
 public:
  struct Parts {
    wire::SessionKind kind;
    CommandStreams streams;
    BegunSession session;
    ResizeParser resize;  // which has seen the beginning of its stream
    std::chrono::seconds idle_timeout;
  };
  // `changed` is notified when something happens to the client.
  CommandSession(const Executor& executor, Parts parts, ClientLink& client, Activity& activity,
                 Event& changed);

  // nullopt: the client is gone, nobody is left to be told. Runs once; coroutines of it may go on
  // until the end of the io_context, so it must live as long.
  asio::awaitable<std::optional<SessionOutcome>> Run();

 private:
  using Descriptor = asio::posix::stream_descriptor;
  // Where output comes from and goes to.
  struct Output {
    Descriptor* from;
    ClientStream* to;
    bool done = false;
  };

  asio::awaitable<void> WatchMonitor();
  asio::awaitable<void> PumpInput();
  asio::awaitable<void> PumpOutput(Output& output);
  asio::awaitable<void> DrainRest(Output& output);
  asio::awaitable<void> PumpResize();
  // Until all output is with the client, or nobody takes it.
  asio::awaitable<void> EndDraining();
  // Lets go of the process: an exec that still runs is ended by its monitor.
  void Release();
  void Resize(TerminalSize size);
  bool IsIdle() const { return Clock::now() >= activity_.last() + idle_timeout_; }
  bool OutputsDone() const { return out_.done && err_.done; }

  const Executor executor_;
  const wire::SessionKind kind_;
  const CommandStreams streams_;
  ClientLink& client_;
  Activity& activity_;
  Event& changed_;
  const std::chrono::seconds idle_timeout_;
  ResizeParser resize_;
  PacketSocket monitor_;
  const bool terminal_;
  Descriptor in_fd_, out_fd_, err_fd_;  // closed where there is none
  Output out_, err_;
  std::optional<SessionOutcome> outcome_;
  bool drained_enough_ = false;
};

}  // namespace berth
