#include "src/stream/session.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "src/stream/command_session.h"
#include "src/stream/control_channel.h"
#include "src/stream/deadline.h"
#include "src/stream/gather_streams.h"
#include "src/stream/port_forward.h"
#include "src/stream/spdy_streams.h"
#include "src/stream/upgrade.h"
#include "src/stream/websocket_channels.h"

namespace berth {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using wire::SessionKind;

constexpr size_t kMaxCommandStreams = 16;
constexpr size_t kMaxPortForwardStreams = 512;  // two for each connection
constexpr size_t kMaxChannelPorts = 32;
constexpr seconds kGatherTime(30);
constexpr milliseconds kFirstSizeTime(100);
// How long berthd may take to begin a session, and a client to fetch its end.
constexpr seconds kBeginTime(60);
constexpr seconds kEndTime(10);
// Clients are let close first: some lose what they have not handled yet when the other side does.
constexpr seconds kGoodbyeTime(2);

struct SocketOption {
  int level, name, value;
};
// A client that vanished without a word is found out within two minutes.
constexpr std::array kSocketOptions = {
    SocketOption{SOL_SOCKET, SO_KEEPALIVE, 1},    SocketOption{IPPROTO_TCP, TCP_KEEPIDLE, 60},
    SocketOption{IPPROTO_TCP, TCP_KEEPINTVL, 10}, SocketOption{IPPROTO_TCP, TCP_KEEPCNT, 6},
    SocketOption{IPPROTO_TCP, TCP_NODELAY, 1},
};

ClientSocket TakeSocket(asio::io_context& io, UniqueFd fd) {
  for (const SocketOption& option : kSocketOptions)
    ::setsockopt(fd.get(), option.level, option.name, &option.value, sizeof(option.value));
  sockaddr_storage address = {};
  socklen_t size = sizeof(address);
  ::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &size);
  return ClientSocket(io, asio::generic::stream_protocol(address.ss_family, 0), fd.release());
}

// Channels 0 to 4 of the remote command protocols.
enum CommandChannel : uint8_t { kIn, kOut, kErr, kError, kResize, kCommandChannels };

class Session {
 public:
  Session(const Executor& executor, ControlChannel& control, UpgradedSession upgraded,
          seconds idle_timeout)
      : executor_(executor),
        control_(control),
        transport_(std::move(upgraded.transport)),
        request_(std::move(upgraded.request)),
        redeemed_(std::move(upgraded.redeemed)),
        idle_timeout_(idle_timeout),
        changed_(executor) {}

  asio::awaitable<void> Serve() {
    const bool forward = request_.kind == SessionKind::kPortForward;
    if (!request_.websocket || request_.tunnel) {
      spdy_.emplace(*transport_, executor_, forward ? kMaxPortForwardStreams : kMaxCommandStreams,
                    activity_, changed_);
      asio::co_spawn(executor_, spdy_->Run(), asio::detached);
      if (forward) {
        co_await Forward(*spdy_);
      } else {
        co_await Command(*spdy_);
      }
      co_await Goodbye(*spdy_);
    } else {
      const std::vector<uint16_t> ports = PortsOfChannels();
      const auto channels =
          static_cast<uint8_t>(forward ? 2 * ports.size() : size_t{kCommandChannels});
      const ChannelFormat format = {.base64 = request_.base64,
                                    .can_close = request_.command == CommandProtocol::kV5,
                                    .channels = channels};
      channels_.emplace(*transport_, executor_, format, activity_, changed_);
      asio::co_spawn(executor_, channels_->Run(), asio::detached);
      if (forward) {
        co_await Forward(*channels_, ports);
      } else {
        co_await Command(*channels_);
      }
      co_await Goodbye(*channels_);
    }
  }

 private:
  bool Has(uint32_t flag) const { return (redeemed_.flags & flag) != 0; }

  // Those of the CRI request, or else of the URL; each is one pair of channels.
  std::vector<uint16_t> PortsOfChannels() const {
    std::vector<uint16_t> ports = redeemed_.ports.empty() ? request_.ports : redeemed_.ports;
    ports.resize(std::min(ports.size(), kMaxChannelPorts));
    return ports;
  }

  // Nothing is begun for a client that has gone meanwhile.
  asio::awaitable<void> EndBeginWithClient(ClientLink& client) {
    while (!has_begun_ && !client.gone()) co_await changed_.Wait();
    if (!has_begun_) control_.Close();
  }

  asio::awaitable<absl::StatusOr<BegunSession>> Begin(ClientLink& client, TerminalSize size) {
    const Deadline deadline(executor_, kBeginTime, [this] { control_.Close(); });
    asio::co_spawn(executor_, EndBeginWithClient(client), asio::detached);
    absl::StatusOr<BegunSession> session = co_await control_.Begin(size.rows, size.columns);
    has_begun_ = true;
    changed_.Notify();
    control_.Close();
    co_return session;
  }

  asio::awaitable<void> Command(SpdyStreams& client) {
    gathered_ = co_await GatherStreams(client, redeemed_.flags, request_.command,
                                       Clock::now() + kGatherTime);
    if (gathered_.status.ok()) {
      co_await RunCommand(client, gathered_.streams);
    } else {
      const SessionOutcome failed = {.failure = gathered_.status};
      co_await End(gathered_.streams, failed);
    }
  }

  asio::awaitable<void> Command(WebSocketChannels& client) {
    const auto channel = [&](bool wanted, CommandChannel number) {
      ClientStream* const stream = &client.channel(number);
      if (!wanted) stream->in().Discard();
      return wanted ? stream : nullptr;
    };
    const bool terminal = Has(wire::kSessionTerminal);
    const CommandStreams streams = {
        .error = channel(true, kError),
        .in = channel(Has(wire::kSessionStdin), kIn),
        .out = channel(Has(wire::kSessionStdout), kOut),
        .err = channel(Has(wire::kSessionStderr) && !terminal, kErr),
        .resize = channel(terminal, kResize),
    };
    co_await RunCommand(client, streams);
  }

  // Tells a client of channels that it is joined to its container: an empty message on the first
  // channel that is written.
  asio::awaitable<void> Greet(CommandStreams streams) {
    for (ClientStream* stream : {streams.out, streams.err, streams.error}) {
      if (stream == nullptr) continue;
      co_await stream->Write("");
      break;
    }
  }

  // The size that a client sends right after its streams, so that the process starts with it.
  asio::awaitable<TerminalSize> FirstSize(ClientStream* stream, ResizeParser& parser) {
    if (stream == nullptr) co_return TerminalSize();
    const auto deadline = Clock::now() + kFirstSizeTime;
    Inbox& in = stream->in();
    while (in.size() == 0 && !in.ended() && Clock::now() < deadline)
      co_await in.changed().Wait(deadline);
    if (in.size() == 0) co_return TerminalSize();
    const std::string bytes = co_await in.Take(kChunkBytes);
    co_return parser.Feed(bytes).value_or(TerminalSize());
  }

  // Clients show an exit code without its message.
  asio::awaitable<void> SayWhyNothingRan(CommandStreams streams, const absl::Status& failure) {
    const Deadline deadline(executor_, kEndTime, [this] { transport_->Abort(); });
    ClientStream* const to = streams.err != nullptr ? streams.err : streams.out;
    const char* const end = Has(wire::kSessionTerminal) ? "\r\n" : "\n";
    if (to != nullptr) co_await to->Write(absl::StrCat(failure.message(), end));
  }

  asio::awaitable<void> RunCommand(ClientLink& client, CommandStreams streams) {
    ResizeParser resize;
    const TerminalSize size = co_await FirstSize(streams.resize, resize);
    absl::StatusOr<BegunSession> begun = co_await Begin(client, size);
    if (!begun.ok()) {
      const SessionOutcome failed = {.exit_code = ExitCodeOf(begun.status()),
                                     .failure = begun.status()};
      if (failed.exit_code != 0) co_await SayWhyNothingRan(streams, failed.failure);
      co_await End(streams, failed);
      co_return;
    }
    if (channels_.has_value()) co_await Greet(streams);
    command_.emplace(executor_,
                     CommandSession::Parts{.kind = request_.kind,
                                           .streams = streams,
                                           .session = *std::move(begun),
                                           .resize = std::move(resize),
                                           .idle_timeout = idle_timeout_},
                     client, activity_, changed_);
    const std::optional<SessionOutcome> outcome = co_await command_->Run();
    if (outcome.has_value()) co_await End(streams, *outcome);
  }

  asio::awaitable<void> End(CommandStreams streams, const SessionOutcome& outcome) {
    const Deadline deadline(executor_, kEndTime, [this] { transport_->Abort(); });
    const std::string text = OutcomeText(outcome, request_.command);
    if (streams.error != nullptr && !text.empty()) co_await streams.error->Write(text);
    for (ClientStream* stream :
         {streams.out, streams.err, streams.error, streams.in, streams.resize}) {
      if (stream != nullptr) co_await stream->CloseWrite();
    }
  }

  asio::awaitable<void> Forward(SpdyStreams& client) {
    absl::StatusOr<BegunSession> begun = co_await Begin(client, TerminalSize());
    if (!begun.ok()) co_return;
    forward_.emplace(executor_, std::move(begun->monitor), idle_timeout_, activity_, changed_);
    co_await forward_->Serve(client);
  }

  asio::awaitable<void> Forward(WebSocketChannels& client, const std::vector<uint16_t>& ports) {
    absl::StatusOr<BegunSession> begun = co_await Begin(client, TerminalSize());
    if (!begun.ok()) co_return;
    forward_.emplace(executor_, std::move(begun->monitor), idle_timeout_, activity_, changed_);
    co_await forward_->Serve(client, ports);
  }

  asio::awaitable<void> Goodbye(ClientLink& client) {
    const Deadline deadline(executor_, kEndTime, [this] { transport_->Abort(); });
    co_await client.Close();
    const auto goodbye = Clock::now() + kGoodbyeTime;
    while (!request_.websocket && !client.gone() && Clock::now() < goodbye)
      co_await changed_.Wait(goodbye);
    if (!client.gone()) co_await transport_->Close();
    while (!client.gone()) co_await changed_.Wait();
  }

  const Executor executor_;
  ControlChannel& control_;
  const std::unique_ptr<Transport> transport_;
  const UpgradeRequest request_;
  const RedeemedSession redeemed_;
  const seconds idle_timeout_;
  Activity activity_;
  Event changed_;
  bool has_begun_ = false;  // or will never
  std::optional<SpdyStreams> spdy_;
  std::optional<WebSocketChannels> channels_;
  GatheredStreams gathered_;
  std::optional<CommandSession> command_;
  std::optional<PortForward> forward_;
};

}  // namespace

asio::awaitable<void> ServeClient(asio::io_context& io, UniqueFd client, UniqueFd control,
                                  SessionOptions options) {
  ControlChannel channel(io.get_executor(), std::move(control));
  std::optional<UpgradedSession> upgraded =
      co_await Upgrade(TakeSocket(io, std::move(client)), options.tls, channel);
  if (!upgraded.has_value()) co_return;
  Session session(io.get_executor(), channel, *std::move(upgraded), options.idle_timeout);
  co_await session.Serve();
  // Nothing runs any more that could look at what is destroyed now.
  io.stop();
}

}  // namespace berth
