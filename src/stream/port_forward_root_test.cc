// Port-forward through the real helper: over SPDY, in a tunnel, over the channels of a WebSocket.
#include <string>
#include <vector>

#include "src/stream/testing/stream_fixture.h"

namespace berth {
namespace {

using namespace testing_stream;
using testing::HasSubstr;

class BerthStreamForwardTest : public BerthStreamTest {
 protected:
  void BeginForward() {
    ASSERT_TRUE(
        client().Send(SpdyUpgradeOf(PathOf(SessionKind::kPortForward), "portforward.k8s.io")));
    process().Redeem(SessionKind::kPortForward, 0);
    ASSERT_THAT(client().ReceiveHead(), testing::StartsWith("HTTP/1.1 101 "));
    process().Begin(0);
  }
  // The frames of a connection's two streams; `id` "" leaves it out, as old clients do.
  std::string OpenPair(const std::string& port, const std::string& id) {
    std::string frames;
    for (const char* type : {"error", "data"}) {
      SpdyHeaders headers = {{"streamtype", type}, {"port", port}};
      if (!id.empty()) headers.push_back({"requestid", id});
      frames += spdy_->Open(headers, std::string(type) == "error" ? kSpdyFin : 0);
    }
    return frames;
  }
  // Plays the monitor: the other end of the connection that is asked for.
  UniqueFd AnswerConnect(uint16_t port) {
    const auto request = StreamProcess::Expect<wire::Header, wire::ConnectRequest>(
        process().monitor(), wire::Type::kConnect);
    EXPECT_EQ(request.port, port);
    auto [app, given] = TcpPair();
    process().FromMonitor(wire::Type::kConnected, wire::ConnectedReply{.request = request.request},
                          {given.get()});
    return std::move(app);
  }
};

TEST_F(BerthStreamForwardTest, CarriesSeveralConnectionsBothWays) {
  BeginForward();
  ASSERT_TRUE(client().Send(OpenPair("8080", "0")));
  ASSERT_TRUE(client().Send(OpenPair("443", "1")));
  const UniqueFd first = AnswerConnect(8080), second = AnswerConnect(443);
  ASSERT_TRUE(client().Send(SpdyDataFrame(7, 0, "to the second") + SpdyDataFrame(3, 0, "to one")));
  EXPECT_EQ(ReadExactly(first.get(), 6), "to one");
  EXPECT_EQ(ReadExactly(second.get(), 13), "to the second");
  ASSERT_TRUE(WriteAll(first.get(), "from one"));
  ASSERT_TRUE(WriteAll(second.get(), "from two"));
  ASSERT_TRUE(ReadSpdyUntil(
      [&] { return (*spdy_)[3].data == "from one" && (*spdy_)[7].data == "from two"; }));
}

TEST_F(BerthStreamForwardTest, ClosesEachDirectionByItself) {
  BeginForward();
  ASSERT_TRUE(client().Send(OpenPair("80", "0")));
  UniqueFd app = AnswerConnect(80);
  ASSERT_TRUE(client().Send(SpdyDataFrame(3, kSpdyFin, "request")));
  EXPECT_EQ(ReadToEnd(app.get()), "request");
  ASSERT_TRUE(WriteAll(app.get(), "an answer after the end of the question"));
  app.reset();
  ASSERT_TRUE(ReadSpdyUntil([&] { return (*spdy_)[3].finished && (*spdy_)[1].finished; }));
  EXPECT_EQ((*spdy_)[3].data, "an answer after the end of the question");
  EXPECT_EQ((*spdy_)[1].data, "");
}

TEST_F(BerthStreamForwardTest, TellsOfARefusedPortAndGoesOn) {
  BeginForward();
  ASSERT_TRUE(client().Send(OpenPair("81", "0")));
  const auto request = StreamProcess::Expect<wire::Header, wire::ConnectRequest>(
      process().monitor(), wire::Type::kConnect);
  wire::ErrorReply refused = {.step = static_cast<int32_t>(request.request), .error = ECONNREFUSED};
  process().FromMonitor(wire::Type::kError, refused);
  ASSERT_TRUE(ReadSpdyUntil([&] { return (*spdy_)[1].finished; }));
  EXPECT_EQ((*spdy_)[1].data, "port 81: connect localhost: Connection refused");
  ASSERT_TRUE(client().Send(OpenPair("80", "1")));
  const UniqueFd app = AnswerConnect(80);
  ASSERT_TRUE(client().Send(SpdyDataFrame(7, 0, "x")));
  EXPECT_EQ(ReadExactly(app.get(), 1), "x");
}

TEST_F(BerthStreamForwardTest, ResetsOnlyThePairWhoseConnectionBreaks) {
  BeginForward();
  ASSERT_TRUE(client().Send(OpenPair("80", "0")));
  ASSERT_TRUE(client().Send(OpenPair("80", "1")));
  UniqueFd first = AnswerConnect(80);
  const UniqueFd second = AnswerConnect(80);
  const linger now = {.l_onoff = 1, .l_linger = 0};
  ::setsockopt(first.get(), SOL_SOCKET, SO_LINGER, &now, sizeof(now));
  first.reset();
  ASSERT_TRUE(ReadSpdyUntil([&] { return (*spdy_)[3].reset && (*spdy_)[1].finished; }));
  EXPECT_THAT((*spdy_)[1].data, HasSubstr("Connection reset by peer"));
  ASSERT_TRUE(client().Send(SpdyDataFrame(7, 0, "y")));
  EXPECT_EQ(ReadExactly(second.get(), 1), "y");
}

TEST_F(BerthStreamForwardTest, JoinsTheStreamsOfClientsWithoutRequestIds) {
  BeginForward();
  ASSERT_TRUE(client().Send(OpenPair("80", "")));
  const UniqueFd app = AnswerConnect(80);
  ASSERT_TRUE(client().Send(SpdyDataFrame(3, 0, "z")));
  EXPECT_EQ(ReadExactly(app.get(), 1), "z");
}

TEST_F(BerthStreamForwardTest, RefusesPortsThatAreNone) {
  BeginForward();
  for (const char* port : {"0", "65536", "", "http", "-1"}) {
    ASSERT_TRUE(client().Send(OpenPair(port, absl::StrCat("id", port))));
    const uint32_t error = spdy_->last() - 2;
    ASSERT_TRUE(ReadSpdyUntil([&] { return (*spdy_)[error].finished; }));
    EXPECT_EQ((*spdy_)[error].data, "the stream's port is not one");
  }
}

TEST_F(BerthStreamForwardTest, BoundsTheConnectionsOfAClient) {
  BeginForward();
  for (int i = 0; i < 257; ++i) ASSERT_TRUE(client().Send(OpenPair("80", absl::StrCat(i))));
  ASSERT_TRUE(ReadSpdyUntil([&] { return (*spdy_)[spdy_->last()].reset; }));
}

TEST_F(BerthStreamForwardTest, EndsWithThePod) {
  BeginForward();
  process().CloseMonitor();
  ASSERT_TRUE(ReadSpdyUntil([&] { return spdy_->goes_away; }));
  client().Close();
  EXPECT_TRUE(process().Ends());
}

TEST_F(BerthStreamForwardTest, EndsOnceItsClientHasSaidGoodbye) {
  BeginForward();
  ASSERT_TRUE(client().Send(OpenPair("80", "0")));
  UniqueFd app = AnswerConnect(80);
  ASSERT_TRUE(client().Send(SpdyDataFrame(3, kSpdyFin, "")));
  ASSERT_TRUE(client().Send(SpdyControlFrame(SpdyType::kGoAway, 0, std::string(8, '\0'))));
  EXPECT_EQ(ReadToEnd(app.get()), "");
  ASSERT_TRUE(WriteAll(app.get(), "last words"));
  app.reset();
  ASSERT_TRUE(ReadSpdyUntil([&] { return spdy_->goes_away; }));
  EXPECT_EQ((*spdy_)[3].data, "last words");
  client().Close();
  EXPECT_TRUE(process().Ends());
}

TEST_F(BerthStreamForwardTest, TunnelsSpdyInAWebSocket) {
  for (const char* protocol : {"SPDY/3.1+portforward.k8s.io", "v2.portforward.k8s.io"}) {
    process_.emplace();
    SpdyClient tunnelled;
    ASSERT_TRUE(client().Send(WebSocketUpgradeOf(PathOf(SessionKind::kPortForward), protocol)));
    process().Redeem(SessionKind::kPortForward, 0);
    ASSERT_THAT(client().ReceiveHead(),
                HasSubstr(absl::StrCat("Sec-WebSocket-Protocol: ", protocol)));
    process().Begin(0);
    for (const char* type : {"error", "data"}) {
      ASSERT_TRUE(client().Send(WebSocketFrame(
          kWsBinary, tunnelled.Open({{"streamtype", type}, {"port", "80"}, {"requestid", "0"}}))));
    }
    const UniqueFd app = AnswerConnect(80);
    // Messages need not begin where frames do.
    const std::string frame = SpdyDataFrame(3, 0, "hello");
    ASSERT_TRUE(client().Send(WebSocketFrame(kWsBinary, frame.substr(0, 5)) +
                              WebSocketFrame(kWsBinary, frame.substr(5))));
    EXPECT_EQ(ReadExactly(app.get(), 5), "hello");
    ASSERT_TRUE(WriteAll(app.get(), "world"));
    WebSocketReader reader;
    while (tunnelled[3].data != "world") {
      const std::string bytes = client().Next();
      ASSERT_FALSE(bytes.empty());
      reader.Feed(bytes);
      for (const auto& message : std::exchange(reader.messages, {}))
        ASSERT_TRUE(tunnelled.Feed(message.payload).ok());
    }
  }
}

TEST_F(BerthStreamForwardTest, GivesEachPortTwoChannels) {
  for (const bool by_request : {true, false}) {
    process_.emplace();
    const std::string query = by_request ? "" : "?port=80,513";
    ASSERT_TRUE(client().Send(
        WebSocketUpgradeOf(PathOf(SessionKind::kPortForward) + query, "v4.channel.k8s.io")));
    std::vector<uint16_t> ports;
    if (by_request) ports = {80, 513};
    process().Redeem(SessionKind::kPortForward, 0, ports);
    client().ReceiveHead();
    process().Begin(0);
    UniqueFd first = AnswerConnect(80), second = AnswerConnect(513);
    ASSERT_TRUE(client().Send(WebSocketFrame(kWsBinary, "\x02question")));
    EXPECT_EQ(ReadExactly(second.get(), 8), "question");
    ASSERT_TRUE(WriteAll(second.get(), "answer"));
    first.reset();
    second.reset();
    const auto messages = ReadWebSocketToClose();
    EXPECT_EQ(ChannelData(messages, 0), std::string("\x50\0", 2));
    EXPECT_EQ(ChannelData(messages, 1), std::string("\x50\0", 2));
    EXPECT_EQ(ChannelData(messages, 2), std::string("\x01\x02"
                                                    "answer"));
    EXPECT_TRUE(process().Ends());
  }
}

}  // namespace
}  // namespace berth
