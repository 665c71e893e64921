#include "src/cli/stream_connection.h"

#include <openssl/ssl.h>

#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/host_name_verification.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/ssl/ssl_stream.hpp>
#include <boost/beast/websocket/ssl.hpp>
#include <boost/beast/websocket/stream.hpp>
#include <chrono>
#include <deque>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "src/base/status_macros.h"
#include "src/cli/stream_url.h"

namespace berth::cli {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace websocket = beast::websocket;
using asio::ip::tcp;
using boost::system::error_code;

struct StreamLoop::Context {
  asio::io_context io{1};
};

StreamLoop::StreamLoop() : context_(std::make_unique<Context>()) {}
StreamLoop::~StreamLoop() = default;

void StreamLoop::RunReady() {
  context_->io.restart();
  context_->io.poll();
}

namespace {

constexpr size_t kMaxMessageBytes = 4 << 20;
constexpr std::chrono::seconds kHandshakeTimeout(30);

using PlainSocket = websocket::stream<tcp::socket>;
using TlsSocket = websocket::stream<beast::ssl_stream<tcp::socket>>;

tcp::socket& Lowest(PlainSocket& socket) { return socket.next_layer(); }
tcp::socket& Lowest(TlsSocket& socket) { return socket.next_layer().next_layer(); }

absl::Status Failure(absl::string_view what, const error_code& error) {
  return absl::UnavailableError(absl::StrCat(what, ": ", error.message()));
}

// Lives as long as an operation of it is under way, so that its owner may let go at any time.
template <typename Socket>
class SocketConnection : public std::enable_shared_from_this<SocketConnection<Socket>> {
 public:
  template <typename... Arguments>
  SocketConnection(StreamUrl url, StreamConnection::Hooks hooks, Arguments&&... arguments)
      : url_(std::move(url)),
        hooks_(std::move(hooks)),
        socket_(std::forward<Arguments>(arguments)...) {}

  void Connect(const tcp::resolver::results_type& addresses,
               const std::vector<std::string>& protocols) {
    connecting_ = true;
    socket_.read_message_max(kMaxMessageBytes);
    socket_.binary(true);
    socket_.auto_fragment(false);
    websocket::stream_base::timeout timeout{};
    timeout.handshake_timeout = kHandshakeTimeout;
    timeout.idle_timeout = websocket::stream_base::none();
    socket_.set_option(timeout);
    socket_.set_option(
        websocket::stream_base::decorator([protocols](websocket::request_type& request) {
          request.set(beast::http::field::sec_websocket_protocol, absl::StrJoin(protocols, ", "));
          request.set(beast::http::field::user_agent, "berth");
        }));
    asio::async_connect(Lowest(socket_), addresses,
                        [self = this->shared_from_this()](const error_code& error, const auto&) {
                          if (error) return self->End(Failure("connect", error));
                          self->connecting_ = false;
                          self->shaking_hands_ = true;
                          error_code ignored;  // small messages at once; not vital
                          Lowest(self->socket_).set_option(tcp::no_delay(true), ignored);
                          self->Secure();
                        });
  }

  void LetGo() {
    ended_ = true;
    error_code ignored;
    Lowest(socket_).close(ignored);
  }

  pollfd Interest() {
    short events = 0;
    if (shaking_hands_ || goodbye_ || reading_) events |= POLLIN;
    if (connecting_ || writing_) events |= POLLOUT;
    if (ended_ || !Lowest(socket_).is_open()) return {.fd = -1, .events = 0, .revents = 0};
    return {.fd = Lowest(socket_).native_handle(), .events = events, .revents = 0};
  }

  void Send(std::string message) {
    queued_bytes_ += message.size();
    queue_.push_back(std::move(message));
    Write();
  }

  void SetReading(bool reading) {
    wants_ = reading;
    if (wants_ && open_) Read();
  }

  void Close() {
    closing_ = true;
    if (open_) Write();
  }

  const std::string& protocol() const { return protocol_; }
  size_t queued_bytes() const { return queued_bytes_; }

 private:
  void Secure() {
    if constexpr (std::is_same_v<Socket, TlsSocket>) {
      SSL_set_tlsext_host_name(socket_.next_layer().native_handle(), url_.host.c_str());
      socket_.next_layer().async_handshake(
          asio::ssl::stream_base::client,
          [self = this->shared_from_this()](const error_code& error) {
            if (error) return self->End(Failure("TLS", error));
            self->Upgrade();
          });
    } else {
      Upgrade();
    }
  }

  void Upgrade() {
    socket_.async_handshake(answer_, url_.Authority(), url_.target,
                            [self = this->shared_from_this()](const error_code& error) {
                              if (error) return self->End(self->Refusal(error));
                              self->Opened();
                            });
  }

  // The server's own words where it has some.
  absl::Status Refusal(const error_code& error) const {
    if (error != websocket::error::upgrade_declined) return Failure("WebSocket handshake", error);
    return absl::UnavailableError(
        absl::StrCat("the session was refused: ", answer_.result_int(), " ",
                     absl::string_view(answer_.reason().data(), answer_.reason().size()),
                     answer_.body().empty() ? "" : ": ", answer_.body().substr(0, 1024)));
  }

  void Opened() {
    if (ended_) return;
    const auto chosen = answer_[beast::http::field::sec_websocket_protocol];
    protocol_ = std::string(chosen.data(), chosen.size());
    shaking_hands_ = false;
    open_ = true;
    hooks_.on_open();
    Read();
    Write();
  }

  void Read() {
    if (ended_ || reading_ || !wants_) return;
    reading_ = true;
    socket_.async_read(buffer_, [self = this->shared_from_this()](const error_code& error, size_t) {
      if (error == websocket::error::closed) return self->End(self->ClosedBy());
      if (error) return self->End(Failure("the connection is lost", error));
      if (self->ended_) return;
      const auto message = self->buffer_.cdata();
      self->hooks_.on_message({static_cast<const char*>(message.data()), message.size()});
      self->buffer_.consume(self->buffer_.size());
      self->reading_ = false;
      self->Read();
    });
  }

  absl::Status ClosedBy() const {
    const websocket::close_reason& reason = socket_.reason();
    if (reason.code == websocket::close_code::normal ||
        reason.code == websocket::close_code::none ||
        reason.code == websocket::close_code::going_away) {
      return absl::OkStatus();
    }
    return absl::UnavailableError(
        absl::StrCat("the server ended the session: code ", static_cast<int>(reason.code), " ",
                     absl::string_view(reason.reason.data(), reason.reason.size())));
  }

  void Write() {
    if (!open_ || ended_ || writing_ || goodbye_) return;
    if (queue_.empty()) {
      if (closing_) SayGoodbye();
      return;
    }
    writing_ = true;
    socket_.async_write(asio::buffer(queue_.front()),
                        [self = this->shared_from_this()](const error_code& error, size_t) {
                          self->writing_ = false;
                          if (error) return self->End(Failure("the connection is lost", error));
                          self->queued_bytes_ -= self->queue_.front().size();
                          self->queue_.pop_front();
                          self->Write();
                        });
  }

  void SayGoodbye() {
    if (std::exchange(goodbye_, true)) return;
    wants_ = true;
    socket_.async_close(
        websocket::close_code::normal,
        [self = this->shared_from_this()](const error_code&) { self->End(absl::OkStatus()); });
  }

  void End(const absl::Status& status) {
    if (std::exchange(ended_, true)) return;
    open_ = connecting_ = shaking_hands_ = false;
    hooks_.on_end(status);
  }

  const StreamUrl url_;
  const StreamConnection::Hooks hooks_;
  Socket socket_;
  websocket::response_type answer_;
  std::string protocol_;
  beast::flat_buffer buffer_;
  std::deque<std::string> queue_;
  size_t queued_bytes_ = 0;
  bool connecting_ = false, shaking_hands_ = false, open_ = false, ended_ = false;
  bool reading_ = false, writing_ = false, wants_ = true;
  bool closing_ = false, goodbye_ = false;
};

template <typename Socket>
class Connection : public StreamConnection {
 public:
  explicit Connection(std::shared_ptr<SocketConnection<Socket>> session)
      : session_(std::move(session)) {}
  ~Connection() override { session_->LetGo(); }

  const std::string& protocol() const override { return session_->protocol(); }
  pollfd Interest() const override { return session_->Interest(); }
  void Send(std::string message) override { session_->Send(std::move(message)); }
  size_t queued_bytes() const override { return session_->queued_bytes(); }
  void SetReading(bool reading) override { session_->SetReading(reading); }
  void Close() override { session_->Close(); }

 private:
  const std::shared_ptr<SocketConnection<Socket>> session_;
};

asio::ssl::context TlsContext(const StreamUrl& url) {
  asio::ssl::context context(asio::ssl::context::tls_client);
  SSL_CTX_set_min_proto_version(context.native_handle(), TLS1_2_VERSION);
  if (url.IsLoopback()) {
    context.set_verify_mode(asio::ssl::verify_none);
    return context;
  }
  error_code error;  // without authorities every certificate is refused
  context.set_default_verify_paths(error);
  context.set_verify_mode(asio::ssl::verify_peer);
  context.set_verify_callback(asio::ssl::host_name_verification(url.host));
  return context;
}

}  // namespace

absl::StatusOr<std::unique_ptr<StreamConnection>> StreamConnection::Start(
    StreamLoop& loop, absl::string_view text, const std::vector<std::string>& protocols,
    Hooks hooks) {
  ASSIGN_OR_RETURN(StreamUrl url, ParseStreamUrl(text));
  asio::io_context& io = loop.context_->io;
  error_code error;
  tcp::resolver resolver(io);
  const tcp::resolver::results_type addresses = resolver.resolve(url.host, url.port, error);
  if (error) return Failure(absl::StrCat("find ", url.host), error);
  if (!url.tls) {
    auto session =
        std::make_shared<SocketConnection<PlainSocket>>(std::move(url), std::move(hooks), io);
    session->Connect(addresses, protocols);
    return std::make_unique<Connection<PlainSocket>>(std::move(session));
  }
  asio::ssl::context tls = TlsContext(url);
  auto session =
      std::make_shared<SocketConnection<TlsSocket>>(std::move(url), std::move(hooks), io, tls);
  session->Connect(addresses, protocols);
  return std::make_unique<Connection<TlsSocket>>(std::move(session));
}

}  // namespace berth::cli
