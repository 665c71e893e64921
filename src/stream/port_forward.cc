#include "src/stream/port_forward.h"

#include <array>
#include <optional>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "src/stream/deadline.h"

namespace berth {
namespace {

constexpr auto kPairTime = std::chrono::seconds(30);
// How long the pod's side may be silent once the client has closed its own.
constexpr auto kHalfClosedTime = std::chrono::minutes(2);

absl::StatusOr<uint16_t> ParsePort(const std::string& text) {
  uint32_t port = 0;
  if (!absl::SimpleAtoi(text, &port) || port == 0 || port > 65535)
    return absl::InvalidArgumentError("the stream's port is not one");
  return static_cast<uint16_t>(port);
}

// What the two streams of a connection have in common. Old clients send no id, but open the data
// stream right behind the error stream.
std::string RequestIdOf(const SpdyStream& stream, bool data) {
  const absl::string_view id = FindHeader(stream.headers(), "requestid");
  if (!id.empty()) return absl::StrCat("id ", id);
  return absl::StrCat("stream ", data ? stream.id() - 2 : stream.id());
}

asio::awaitable<void> Tell(ClientStream& error, const absl::Status& status) {
  const std::string text(status.message());
  co_await error.Write(text);
}

}  // namespace

// One connection into the pod while bytes go both ways.
struct PortForward::Joint {
  Joint(const Executor& executor, UniqueFd fd)
      : socket(executor, fd.release()), changed(executor) {}

  // Once the client has closed its side: the other must say something.
  void AwaitOutput() {
    half_closed.emplace(socket.get_executor(), kHalfClosedTime, [this] {
      ErrorCode ignored;
      socket.close(ignored);
    });
  }

  asio::posix::stream_descriptor socket;
  Event changed;
  bool input_done = false;
  std::optional<Deadline> half_closed;
};

PortForward::PortForward(const Executor& executor, UniqueFd monitor,
                         std::chrono::seconds idle_timeout, Activity& activity, Event& changed)
    : executor_(executor),
      idle_timeout_(idle_timeout),
      activity_(activity),
      changed_(changed),
      connector_(executor, std::move(monitor), changed) {}

asio::awaitable<void> PortForward::CarryInput(ClientStream& data, Joint& joint) {
  ErrorCode error;
  while (!error) {
    const std::string bytes = co_await data.in().Take(kChunkBytes);
    if (bytes.empty()) break;
    co_await asio::async_write(joint.socket, asio::buffer(bytes), Into(error));
  }
  if (data.in().lost()) {
    joint.socket.close(error);
  } else if (joint.socket.is_open()) {
    data.in().Discard();
    ::shutdown(joint.socket.native_handle(), SHUT_WR);
    joint.AwaitOutput();
  }
  joint.input_done = true;
  joint.changed.Notify();
}

asio::awaitable<absl::Status> PortForward::Carry(ClientStream& data, UniqueFd connection) {
  Joint joint(executor_, std::move(connection));
  asio::co_spawn(executor_, CarryInput(data, joint), asio::detached);
  const auto buffer = std::make_unique<std::array<char, kChunkBytes>>();
  ErrorCode error;
  bool taken = true;
  while (taken && !error) {
    const size_t size = co_await joint.socket.async_read_some(asio::buffer(*buffer), Into(error));
    if (error) break;
    if (joint.input_done) joint.AwaitOutput();
    taken = co_await data.Write({buffer->data(), size});
  }
  if (taken && error == asio::error::eof) {
    co_await data.CloseWrite();
  } else {
    ErrorCode ignored;
    joint.socket.close(ignored);
    data.Reset();
  }
  while (!joint.input_done) co_await joint.changed.Wait();
  if (!taken || error == asio::error::eof || error == asio::error::operation_aborted)
    co_return absl::OkStatus();
  co_return absl::AbortedError(absl::StrCat("the connection in the pod: ", error.message()));
}

asio::awaitable<void> PortForward::Join(ClientStream& data, ClientStream& error, std::string port) {
  error.in().Discard();
  const absl::StatusOr<uint16_t> number = ParsePort(port);
  absl::Status status = number.status();
  if (status.ok()) {
    absl::StatusOr<UniqueFd> connection = co_await connector_.Connect(*number);
    status = connection.status();
    if (status.ok()) status = co_await Carry(data, *std::move(connection));
  }
  if (!status.ok()) {
    co_await Tell(error, status);
    data.Reset();
  }
  co_await error.CloseWrite();
  --joined_;
  changed_.Notify();
}

asio::awaitable<void> PortForward::JoinPair(Pair pair, std::string port) {
  co_await Join(*pair.data, *pair.error, std::move(port));
}

void PortForward::Add(std::unique_ptr<SpdyStream> stream) {
  const absl::string_view type = FindHeader(stream->headers(), "streamtype");
  const bool data = type == "data";
  if (!data && type != "error") return;  // which resets it
  const std::string id = RequestIdOf(*stream, data);
  const auto [at, is_new] = waiting_.try_emplace(id);
  Pair& pair = at->second;
  if (is_new) pair.expires = Clock::now() + kPairTime;
  std::unique_ptr<SpdyStream>& place = data ? pair.data : pair.error;
  if (place != nullptr) return;
  place = std::move(stream);
  if (pair.data == nullptr || pair.error == nullptr) return;
  Pair whole = std::move(pair);
  waiting_.erase(at);
  ++joined_;
  std::string port(FindHeader(whole.data->headers(), "port"));
  asio::co_spawn(executor_, JoinPair(std::move(whole), std::move(port)), asio::detached);
}

asio::awaitable<void> PortForward::GiveUp(Pair pair) {
  if (pair.error == nullptr) co_return;
  const absl::Status status =
      absl::DeadlineExceededError("the connection's data stream is missing");
  co_await Tell(*pair.error, status);
}

asio::awaitable<void> PortForward::Expire() {
  while (true) {
    auto next = kNever;
    for (auto at = waiting_.begin(); at != waiting_.end();) {
      if (at->second.expires <= Clock::now()) {
        asio::co_spawn(executor_, GiveUp(std::move(at->second)), asio::detached);
        at = waiting_.erase(at);
      } else {
        next = std::min(next, at->second.expires);
        ++at;
      }
    }
    co_await changed_.Wait(next);
  }
}

asio::awaitable<void> PortForward::Accept(SpdyStreams& client) {
  while (true) {
    std::unique_ptr<SpdyStream> stream = co_await client.Accept();
    if (stream == nullptr) co_return;
    Add(std::move(stream));
    changed_.Notify();
  }
}

bool PortForward::MustEnd(const ClientLink& client) const {
  return client.gone() || connector_.gone() || Clock::now() >= activity_.last() + idle_timeout_;
}

asio::awaitable<void> PortForward::Serve(SpdyStreams& client) {
  asio::co_spawn(executor_, connector_.Run(), asio::detached);
  asio::co_spawn(executor_, Accept(client), asio::detached);
  asio::co_spawn(executor_, Expire(), asio::detached);
  while (!MustEnd(client) && !(client.going_away() && joined_ == 0))
    co_await changed_.Wait(activity_.last() + idle_timeout_);
}

asio::awaitable<void> PortForward::Serve(WebSocketChannels& client,
                                         const std::vector<uint16_t>& ports) {
  asio::co_spawn(executor_, connector_.Run(), asio::detached);
  for (size_t i = 0; i < ports.size(); ++i) {
    ClientStream& data = client.channel(static_cast<uint8_t>(2 * i));
    ClientStream& error = client.channel(static_cast<uint8_t>(2 * i + 1));
    // Which port a channel is of: its first message.
    const char port[] = {static_cast<char>(ports[i]), static_cast<char>(ports[i] >> 8)};
    for (ClientStream* channel : {&data, &error}) co_await channel->Write({port, sizeof(port)});
    ++joined_;
    asio::co_spawn(executor_, Join(data, error, absl::StrCat(ports[i])), asio::detached);
  }
  while (!MustEnd(client) && joined_ > 0) co_await changed_.Wait(activity_.last() + idle_timeout_);
}

}  // namespace berth
