// For tests: a WebSocket server in this process, whose behaviour each test writes down. Of the
// protocol it knows just enough: short and 16-bit lengths, no fragments.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <sys/socket.h>

#include <functional>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "src/base/unique_fd.h"

namespace berth::cli {

// One client's connection, in the test's thread of it.
class FakeStream {
 public:
  explicit FakeStream(UniqueFd socket) : socket_(std::move(socket)) {}

  // Reads the request and answers it; `protocol` "" leaves that header out.
  void Accept(const std::string& protocol) {
    ReadRequest();
    const std::string key = Header("Sec-WebSocket-Key");
    const std::string text = absl::StrCat(key, "258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    unsigned char digest[SHA_DIGEST_LENGTH];
    SHA1(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest);
    const std::string accept =
        absl::Base64Escape(absl::string_view(reinterpret_cast<char*>(digest), sizeof(digest)));
    Write(absl::StrCat("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n",
                       "Connection: Upgrade\r\nSec-WebSocket-Accept: ", accept, "\r\n",
                       protocol.empty() ? "" : "Sec-WebSocket-Protocol: ", protocol,
                       protocol.empty() ? "" : "\r\n", "\r\n"));
  }
  void Refuse(const std::string& answer) {
    ReadRequest();
    Write(answer);
  }
  const std::string& request() const { return request_; }

  void Send(const std::string& message) { SendFrame(0x82, message); }
  void Ping() { SendFrame(0x89, "p"); }
  void Close() {
    SendFrame(0x88, std::string("\x03\xe8", 2));
    while (Receive().has_value()) {
    }
  }
  void CloseWith(uint16_t code, const std::string& reason) {
    SendFrame(0x88, absl::StrCat(std::string(1, static_cast<char>(code >> 8)),
                                 std::string(1, static_cast<char>(code)), reason));
    while (Receive().has_value()) {
    }
  }

  // The next message; nothing after a close frame or the end.
  std::optional<std::string> Receive() {
    while (true) {
      unsigned char head[2];
      if (!ReadExactly(head, 2)) return std::nullopt;
      size_t length = head[1] & 0x7f;
      if (length == 126) {
        unsigned char more[2];
        if (!ReadExactly(more, 2)) return std::nullopt;
        length = static_cast<size_t>(more[0]) << 8 | more[1];
      }
      EXPECT_LT(length, 65536u);
      unsigned char mask[4];
      if (!ReadExactly(mask, 4)) return std::nullopt;
      std::string payload(length, '\0');
      if (!ReadExactly(payload.data(), length)) return std::nullopt;
      for (size_t i = 0; i < length; ++i) payload[i] = static_cast<char>(payload[i] ^ mask[i % 4]);
      if ((head[0] & 0xf) == 8) return std::nullopt;
      if ((head[0] & 0xf) == 10) {
        ++pongs;
        continue;
      }
      return payload;
    }
  }

  int pongs = 0;

 private:
  void SendFrame(unsigned char head, const std::string& payload) {
    std::string frame(1, static_cast<char>(head));
    if (payload.size() < 126) {
      frame += static_cast<char>(payload.size());
    } else {
      frame += static_cast<char>(126);
      frame += static_cast<char>(payload.size() >> 8);
      frame += static_cast<char>(payload.size());
    }
    Write(frame + payload);
  }
  void ReadRequest() {
    char byte;
    while (!absl::EndsWith(request_, "\r\n\r\n") && ReadExactly(&byte, 1)) request_ += byte;
  }
  std::string Header(const std::string& name) const {
    const size_t at = request_.find("\r\n" + name + ": ");
    if (at == std::string::npos) return "";
    const size_t begin = at + name.size() + 4;
    return request_.substr(begin, request_.find("\r\n", begin) - begin);
  }
  bool ReadExactly(void* to, size_t length) {
    return length == 0 ||
           recv(socket_.get(), to, length, MSG_WAITALL) == static_cast<ssize_t>(length);
  }
  void Write(const std::string& bytes) {
    send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
  }

  UniqueFd socket_;
  std::string request_;
};

class FakeStreamServer {
 public:
  using Behaviour = std::function<void(FakeStream& stream)>;
  // Serves `connections` connections, each in a thread of its own.
  explicit FakeStreamServer(Behaviour behaviour, int connections = 1)
      : listener_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    EXPECT_EQ(bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(listen(listener_.get(), 64), 0);
    getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    acceptor_ = std::thread([this, behaviour = std::move(behaviour), connections] {
      for (int i = 0; i < connections; ++i) {
        UniqueFd client(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
        if (!client.valid()) return;
        threads_.emplace_back(
            [behaviour, stream = FakeStream(std::move(client))]() mutable { behaviour(stream); });
      }
    });
  }
  ~FakeStreamServer() {
    shutdown(listener_.get(), SHUT_RDWR);
    acceptor_.join();
    for (std::thread& thread : threads_) thread.join();
  }
  std::string Url(const std::string& path = "/exec/token") const {
    return absl::StrCat("http://127.0.0.1:", port_, path);
  }

 private:
  UniqueFd listener_;
  int port_ = 0;
  std::thread acceptor_;
  std::vector<std::thread> threads_;
};

}  // namespace berth::cli
