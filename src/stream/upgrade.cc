#include "src/stream/upgrade.h"

#include <array>
#include <chrono>
#include <string>
#include <utility>
#include <variant>

#include "src/stream/deadline.h"
#include "src/stream/stream_transport.h"

namespace berth {
namespace {

constexpr auto kHandshakeTime = std::chrono::seconds(10);

// A refusal's bytes, and then what the client still sends, so that a reset does not overtake them.
template <class Stream>
asio::awaitable<void> Refuse(Stream& stream, HttpRefusal refusal) {
  const std::string answer = SerializeRefusal(refusal);
  ErrorCode error;
  co_await asio::async_write(stream, asio::buffer(answer), Into(error));
  if (error) co_return;
  co_await FinishWriting(stream);
  std::array<char, 4096> dropped;
  while (!error) co_await SocketOf(stream).async_read_some(asio::buffer(dropped), Into(error));
}

// nullopt: it was refused, or the client is gone.
template <class Stream>
asio::awaitable<std::optional<UpgradeRequest>> ReadRequest(Stream& stream, RequestHead& head) {
  std::array<char, 4096> buffer;
  std::optional<HeadResult> result;
  while (!result.has_value()) {
    ErrorCode error;
    const size_t size = co_await stream.async_read_some(asio::buffer(buffer), Into(error));
    if (error) co_return std::nullopt;
    result = head.Feed({buffer.data(), size});
  }
  if (auto* request = std::get_if<UpgradeRequest>(&*result)) {
    // A WebSocket's client has nothing to say before the answer.
    if (!request->websocket || head.rest().empty()) co_return *std::move(request);
    result = HttpRefusal{.status = 400, .message = "bytes behind the request"};
  }
  co_await Refuse(stream, std::get<HttpRefusal>(*result));
  co_return std::nullopt;
}

template <class Stream>
asio::awaitable<std::unique_ptr<Transport>> Answer(Stream stream, const UpgradeRequest& request,
                                                   const RequestHead& head) {
  if (request.websocket) {
    auto transport = std::make_unique<WebSocketTransport<Stream>>(std::move(stream));
    const bool accepted = co_await transport->Accept(head.head(), request.protocol);
    if (!accepted) co_return nullptr;
    co_return transport;
  }
  const std::string answer = SerializeSpdyUpgrade(request);
  ErrorCode error;
  co_await asio::async_write(stream, asio::buffer(answer), Into(error));
  if (error) co_return nullptr;
  co_return std::make_unique<PlainTransport<Stream>>(std::move(stream), std::string(head.rest()));
}

template <class Stream>
asio::awaitable<std::optional<UpgradedSession>> UpgradeHttp(Stream stream,
                                                            ControlChannel& control) {
  RequestHead head;
  std::optional<UpgradeRequest> request = co_await ReadRequest(stream, head);
  if (!request.has_value()) co_return std::nullopt;
  absl::StatusOr<RedeemedSession> redeemed = co_await control.Redeem(request->kind, request->token);
  if (redeemed.ok() && redeemed->kind != request->kind)
    redeemed = absl::InternalError("berthd: the session is of another kind");
  if (!redeemed.ok()) {
    co_await Refuse(stream, RefusalOf(redeemed.status()));
    co_return std::nullopt;
  }
  UpgradedSession session = {.request = *std::move(request), .redeemed = *std::move(redeemed)};
  session.transport = co_await Answer(std::move(stream), session.request, head);
  if (session.transport == nullptr) co_return std::nullopt;
  co_return session;
}

}  // namespace

HttpRefusal RefusalOf(const absl::Status& status) {
  struct Answer {
    absl::StatusCode code;
    int status;
  };
  static constexpr std::array kAnswers = {
      Answer{absl::StatusCode::kNotFound, 404},
      Answer{absl::StatusCode::kPermissionDenied, 403},
      Answer{absl::StatusCode::kUnauthenticated, 403},
      Answer{absl::StatusCode::kInvalidArgument, 400},
      Answer{absl::StatusCode::kOutOfRange, 400},
      Answer{absl::StatusCode::kFailedPrecondition, 400},
      Answer{absl::StatusCode::kResourceExhausted, 429},
      Answer{absl::StatusCode::kUnavailable, 503},
  };
  HttpRefusal refusal = {.status = 500, .message = std::string(status.message())};
  for (const Answer& answer : kAnswers) {
    if (answer.code == status.code()) refusal.status = answer.status;
  }
  if (refusal.status == 429 || refusal.status == 503) refusal.headers = {{"Retry-After", "1"}};
  return refusal;
}

asio::awaitable<std::optional<UpgradedSession>> Upgrade(ClientSocket socket,
                                                        asio::ssl::context* tls,
                                                        ControlChannel& control) {
  // The descriptor itself: the socket object moves into what is made of it.
  const int fd = socket.native_handle();
  const Deadline deadline(socket.get_executor(), kHandshakeTime, [fd, &control] {
    ::shutdown(fd, SHUT_RDWR);
    control.Close();
  });
  if (tls == nullptr) co_return co_await UpgradeHttp(std::move(socket), control);
  TlsStream stream(std::move(socket), *tls);
  ErrorCode error;
  co_await stream.async_handshake(asio::ssl::stream_base::server, Into(error));
  if (error) co_return std::nullopt;
  co_return co_await UpgradeHttp(std::move(stream), control);
}

}  // namespace berth
