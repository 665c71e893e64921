// The transports: over a connection of type Stream, which is a socket or TLS over one. Included by
// upgrade.cc only, which makes them.
#pragma once

#include <poll.h>

#include <boost/asio/ssl/stream.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/websocket.hpp>
#include <boost/beast/websocket/ssl.hpp>
#include <string>
#include <utility>

#include "absl/strings/string_view.h"
#include "src/stream/transport.h"
#include "src/stream/upgrade.h"

namespace berth {

using TlsStream = asio::ssl::stream<ClientSocket>;

inline ClientSocket& SocketOf(ClientSocket& socket) { return socket; }
inline ClientSocket& SocketOf(TlsStream& tls) { return tls.next_layer(); }

inline bool PeerHasClosed(ClientSocket& socket) {
  pollfd wait = {.fd = socket.native_handle(), .events = POLLRDHUP, .revents = 0};
  return !socket.is_open() || ::poll(&wait, 1, 0) != 0;
}

// Tells the client that no more comes.
inline asio::awaitable<void> FinishWriting(ClientSocket& socket) {
  ErrorCode ignored;
  socket.shutdown(ClientSocket::shutdown_send, ignored);
  co_return;
}
inline asio::awaitable<void> FinishWriting(TlsStream& tls) {
  ErrorCode ignored;
  co_await tls.async_shutdown(Into(ignored));
  co_await FinishWriting(tls.next_layer());
}

template <class Stream>
class PlainTransport final : public Transport {
 public:
  // `first`: bytes of the client that were read before.
  PlainTransport(Stream stream, std::string first)
      : stream_(std::move(stream)), first_(std::move(first)) {}

  asio::awaitable<std::optional<Piece>> Read(asio::mutable_buffer into) override {
    if (!first_.empty()) {
      const size_t size = asio::buffer_copy(into, asio::buffer(first_));
      first_.erase(0, size);
      co_return Piece{.size = size};
    }
    ErrorCode error;
    const size_t size = co_await stream_.async_read_some(into, Into(error));
    if (error) co_return std::nullopt;
    co_return Piece{.size = size};
  }

  asio::awaitable<bool> Write(asio::const_buffer bytes, bool) override {
    ErrorCode error;
    co_await asio::async_write(stream_, bytes, Into(error));
    co_return !error;
  }

  asio::awaitable<void> Close() override { return FinishWriting(stream_); }

  void Abort() override {
    ErrorCode ignored;
    SocketOf(stream_).close(ignored);
  }

  bool PeerHasClosed() override { return berth::PeerHasClosed(SocketOf(stream_)); }

 private:
  Stream stream_;
  std::string first_;
};

template <class Stream>
class WebSocketTransport final : public Transport {
 public:
  explicit WebSocketTransport(Stream stream) : websocket_(std::move(stream)) {}

  // Answers the handshake whose head is `head`.
  asio::awaitable<bool> Accept(absl::string_view head, const std::string& protocol) {
    namespace websocket = boost::beast::websocket;
    namespace http = boost::beast::http;
    constexpr size_t kMaxMessage = 16 << 20;
    http::request_parser<http::empty_body> parser;
    parser.header_limit(2 * kMaxHeadBytes);
    ErrorCode error;
    parser.put(asio::buffer(head.data(), head.size()), error);
    if (error) co_return false;
    websocket_.read_message_max(kMaxMessage);
    websocket_.auto_fragment(false);
    websocket_.set_option(websocket::stream_base::decorator([&](websocket::response_type& answer) {
      if (!protocol.empty()) answer.set(http::field::sec_websocket_protocol, protocol);
    }));
    co_await websocket_.async_accept(parser.get(), Into(error));
    co_return !error;
  }

  asio::awaitable<std::optional<Piece>> Read(asio::mutable_buffer into) override {
    ErrorCode error;
    const size_t size = co_await websocket_.async_read_some(into, Into(error));
    if (error) co_return std::nullopt;
    co_return Piece{
        .size = size, .text = websocket_.got_text(), .ends_message = websocket_.is_message_done()};
  }

  asio::awaitable<bool> Write(asio::const_buffer bytes, bool text) override {
    ErrorCode error;
    websocket_.text(text);
    co_await websocket_.async_write(bytes, Into(error));
    co_return !error;
  }

  asio::awaitable<void> Close() override {
    ErrorCode ignored;
    co_await websocket_.async_close(boost::beast::websocket::close_code::normal, Into(ignored));
  }

  void Abort() override {
    ErrorCode ignored;
    SocketOf(websocket_.next_layer()).close(ignored);
  }

  bool PeerHasClosed() override { return berth::PeerHasClosed(SocketOf(websocket_.next_layer())); }

 private:
  boost::beast::websocket::stream<Stream> websocket_;
};

}  // namespace berth
