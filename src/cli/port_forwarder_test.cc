#include "src/cli/port_forwarder.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <atomic>

#include "src/cli/fake_stream_server.h"
#include "src/cli/stream_channels.h"

namespace berth::cli {
namespace {

using testing::HasSubstr;

constexpr char kPort[] = {80, 0};

std::string On(unsigned char channel, const std::string& payload) {
  return ChannelMessage(channel, payload);
}
void AcceptPort(FakeStream& stream, const char* protocol) {
  stream.Accept(protocol);
  stream.Send(On(0, std::string(kPort, 2)));
  stream.Send(On(1, std::string(kPort, 2)));
}

// A server that answers what it was sent with "<...>" once the client has sent all.
void Answer(FakeStream& stream) {
  AcceptPort(stream, kV5Protocol);
  std::string all;
  for (auto message = stream.Receive(); message.has_value(); message = stream.Receive()) {
    if (*message == std::string("\xff\0", 2)) break;
    all += message->substr(1);
  }
  stream.Send(On(0, "<" + all + ">"));
  stream.Close();
}

class PortForwarderTest : public testing::Test {
 protected:
  void Start(FakeStreamServer::Behaviour behaviour, int connections = 1) {
    server_.emplace(std::move(behaviour), connections);
    auto listeners = ListenOn({.addresses = {"127.0.0.1", "::1"}, .remote = 80});
    ASSERT_TRUE(listeners.ok()) << listeners.status();
    port_ = listeners->front().local;
    for (const ListenSocket& one : *listeners) EXPECT_EQ(one.local, port_);
    thread_ = std::thread([this, listeners = *std::move(listeners)]() mutable {
      PortForwarder forwarder(
          std::move(listeners),
          {.open_session = [this](uint16_t port) -> absl::StatusOr<std::string> {
             EXPECT_EQ(port, 80);
             return server_->Url();
           },
           .on_failure =
               [this](const absl::Status& status) {
                 failure_ = status;
                 ++failures_;
               }});
      served_ = forwarder.Run(interrupt_, signals_);
    });
  }
  void TearDown() override {
    if (!thread_.joinable()) return;
    kill(getpid(), SIGINT);
    thread_.join();
    EXPECT_TRUE(served_.ok()) << served_;
  }
  UniqueFd Connect() const {
    UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_port = htons(port_);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    return fd;
  }
  static std::string Ask(const UniqueFd& fd, const std::string& text) {
    size_t sent = 0;
    while (sent < text.size()) {
      const ssize_t n = send(fd.get(), text.data() + sent, text.size() - sent, MSG_NOSIGNAL);
      if (n <= 0) break;
      sent += static_cast<size_t>(n);
    }
    shutdown(fd.get(), SHUT_WR);
    return ReadAll(fd);
  }
  static std::string ReadAll(const UniqueFd& fd) {
    std::string all;
    char buffer[4096];
    for (ssize_t n; (n = recv(fd.get(), buffer, sizeof(buffer), 0)) > 0;)
      all.append(buffer, static_cast<size_t>(n));
    return all;
  }

  Interrupt interrupt_;
  SessionSignals signals_;
  std::optional<FakeStreamServer> server_;
  std::thread thread_;
  uint16_t port_ = 0;
  absl::Status served_, failure_;
  std::atomic<int> failures_ = 0;
};

TEST_F(PortForwarderTest, CarriesBothWaysAndTheEnds) {
  Start(Answer);
  EXPECT_EQ(Ask(Connect(), "hello"), "<hello>");
}

// More than any buffer on the way holds, while the answer's reader does not read.
TEST_F(PortForwarderTest, CarriesMuchBothWays) {
  constexpr size_t kPieces = 2000, kPieceBytes = 4000;
  Start([](FakeStream& stream) {
    AcceptPort(stream, kV5Protocol);
    size_t got = 0;
    for (auto message = stream.Receive(); message.has_value(); message = stream.Receive()) {
      if (*message == std::string("\xff\0", 2)) break;
      got += message->size() - 1;
    }
    EXPECT_EQ(got, kPieces * kPieceBytes);
    for (size_t i = 0; i < kPieces; ++i) stream.Send(On(0, std::string(kPieceBytes, 'y')));
    stream.Close();
  });
  EXPECT_EQ(Ask(Connect(), std::string(kPieces * kPieceBytes, 'x')).size(), kPieces * kPieceBytes);
}

TEST_F(PortForwarderTest, CarriesManyAtOnce) {
  constexpr int kMany = 40;
  Start(Answer, kMany);
  std::vector<UniqueFd> sockets;
  for (int i = 0; i < kMany; ++i) sockets.push_back(Connect());
  for (int i = kMany - 1; i >= 0; --i)
    EXPECT_EQ(Ask(sockets[static_cast<size_t>(i)], std::to_string(i)), absl::StrCat("<", i, ">"));
}

TEST_F(PortForwarderTest, TellsOfAPortThatRefuses) {
  Start([](FakeStream& stream) {
    AcceptPort(stream, kV4Protocol);
    stream.Send(On(1, "connect to port 80: Connection refused"));
    stream.Close();
  });
  EXPECT_EQ(ReadAll(Connect()), "");
  while (failures_ == 0) std::this_thread::yield();
  EXPECT_THAT(failure_.message(), HasSubstr("Connection refused"));
}

TEST_F(PortForwarderTest, OneFailureIsNotTheOthers) {
  std::atomic<int> count = 0;
  Start(
      [&](FakeStream& stream) {
        if (count++ == 0) return stream.Refuse("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n");
        Answer(stream);
      },
      2);
  EXPECT_EQ(ReadAll(Connect()), "");
  EXPECT_EQ(Ask(Connect(), "x"), "<x>");
}

}  // namespace
}  // namespace berth::cli
