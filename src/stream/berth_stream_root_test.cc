// The helper itself, between a client without manners and a berthd and monitor that the test plays.
#include <fcntl.h>

#include <string>

#include "absl/strings/match.h"
#include "src/base/steady_time.h"
#include "src/stream/testing/stream_fixture.h"

namespace berth {
namespace {

using namespace testing_stream;
using testing::AllOf;
using testing::Contains;
using testing::Field;
using testing::HasSubstr;
using testing::StartsWith;

constexpr char kSuccess[] = R"({"metadata":{},"status":"Success"})";

// --- confinement

TEST_F(BerthStreamTest, IsNobodyWithoutCapabilitiesBeforeItReads) {
  BeginSpdyExec();
  EXPECT_EQ(StatusField("Uid"), "65534\t65534\t65534\t65534");
  EXPECT_EQ(StatusField("Gid"), "65534\t65534\t65534\t65534");
  EXPECT_EQ(StatusField("Groups"), " ");
  for (const char* field : {"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"})
    EXPECT_EQ(StatusField(field), "0000000000000000") << field;
  EXPECT_EQ(StatusField("NoNewPrivs"), "1");
  EXPECT_EQ(StatusField("Seccomp"), "2");
  const auto root = ListDir(AT_FDCWD, absl::StrCat("/proc/", process().pid(), "/root"));
  ASSERT_TRUE(root.ok()) << root.status();
  EXPECT_TRUE(root->empty());
}

// --- HTTP

TEST_F(BerthStreamTest, RefusesTokensThatBerthdDoesNotKnow) {
  ASSERT_TRUE(client().Send(SpdyUpgradeOf(PathOf(SessionKind::kExec), "v4.channel.k8s.io")));
  const wire::RedeemRequest request = process().ExpectRedeem();
  EXPECT_EQ(std::string(request.token, sizeof(request.token)), kToken);
  process().Refuse(5, "no such session");
  const std::string answer = client().ReceiveAll();
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 404 Not Found\r\n"));
  EXPECT_THAT(answer, HasSubstr("\r\n\r\nno such session\n"));
  client().Close();
  EXPECT_TRUE(process().Ends());
}

TEST_F(BerthStreamTest, TellsAClientToComeBackLater) {
  ASSERT_TRUE(client().Send(SpdyUpgradeOf(PathOf(SessionKind::kAttach), "v4.channel.k8s.io")));
  process().ExpectRedeem();
  process().Refuse(8, "too many sessions");
  const std::string answer = client().ReceiveAll();
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 429 "));
  EXPECT_THAT(answer, HasSubstr("\r\nRetry-After: "));
}

TEST_F(BerthStreamTest, SaysThatBerthdIsGone) {
  process().KillBerthd();
  ASSERT_TRUE(client().Send(SpdyUpgradeOf(PathOf(SessionKind::kExec), "v4.channel.k8s.io")));
  EXPECT_THAT(client().ReceiveAll(), StartsWith("HTTP/1.1 503 "));
  client().Close();
  EXPECT_TRUE(process().Ends());
}

TEST_F(BerthStreamTest, RefusesNonsenseWithoutAskingBerthd) {
  ASSERT_TRUE(client().Send("GET /exec/short HTTP/1.1\r\nHost: x\r\n\r\n"));
  EXPECT_THAT(client().ReceiveAll(), StartsWith("HTTP/1.1 404 "));
  client().Close();
  EXPECT_TRUE(process().ControlEnds());
  EXPECT_TRUE(process().Ends());
}

TEST_F(BerthStreamTest, CutsOffAClientThatSendsItsHeadTooSlowly) {
  ASSERT_TRUE(client().Send("GET /exec/"));
  EXPECT_TRUE(process().Ends());
}

// --- exec over SPDY

TEST_F(BerthStreamTest, CarriesAnExecOverSpdy) {
  BeginSpdyExec();
  ASSERT_TRUE(client().Send(SpdyDataFrame(3, 0, "question")));
  ASSERT_TRUE(client().Send(SpdyDataFrame(3, kSpdyFin, "!")));
  EXPECT_EQ(ReadToEnd(process().in.get()), "question!");
  ASSERT_TRUE(WriteAll(process().out.get(), "answer"));
  ASSERT_TRUE(WriteAll(process().err.get(), "complaint"));
  process().out.reset();
  process().err.reset();
  process().Exit(0);
  ASSERT_TRUE(ReadSpdyUntil([&] { return spdy_->goes_away; }));
  EXPECT_EQ((*spdy_)[5].data, "answer");
  EXPECT_EQ((*spdy_)[7].data, "complaint");
  EXPECT_EQ((*spdy_)[1].data, kSuccess);
  for (const uint32_t id : {1, 3, 5, 7}) {
    EXPECT_TRUE((*spdy_)[id].replied) << id;
    EXPECT_TRUE((*spdy_)[id].finished) << id;
    EXPECT_FALSE((*spdy_)[id].reset) << id;
  }
  EXPECT_EQ(spdy_->goaway_status, 0u);
  client().Close();
  EXPECT_TRUE(process().Ends());
}

TEST_F(BerthStreamTest, TellsTheExitCode) {
  BeginSpdyExec();
  process().Exit(7);
  process().out.reset();
  process().err.reset();
  ASSERT_TRUE(ReadSpdyUntil([&] { return (*spdy_)[1].finished; }));
  EXPECT_EQ((*spdy_)[1].data,
            R"({"metadata":{},"status":"Failure","message":"command terminated with non-zero exit )"
            R"(code: exit status 7","reason":"NonZeroExitCode","details":{"causes":[{"reason":)"
            R"("ExitCode","message":"7"}]}})");
}

TEST_F(BerthStreamTest, WritesTextToOldClients) {
  BeginSpdyExec("v2.channel.k8s.io");
  process().Exit(7);
  process().out.reset();
  process().err.reset();
  ASSERT_TRUE(ReadSpdyUntil([&] { return (*spdy_)[1].finished; }));
  EXPECT_EQ((*spdy_)[1].data, "command terminated with non-zero exit code: exit status 7");
}

TEST_F(BerthStreamTest, LivesOnWithoutBerthd) {
  BeginSpdyExec();
  process().KillBerthd();
  ASSERT_TRUE(client().Send(SpdyDataFrame(3, kSpdyFin, "still there?")));
  EXPECT_EQ(ReadToEnd(process().in.get()), "still there?");
  ASSERT_TRUE(WriteAll(process().out.get(), "yes"));
  process().out.reset();
  process().err.reset();
  process().Exit(0);
  ASSERT_TRUE(ReadSpdyUntil([&] { return (*spdy_)[1].finished; }));
  EXPECT_EQ((*spdy_)[5].data, "yes");
}

TEST_F(BerthStreamTest, DrainsWhatIsInThePipesAfterTheExit) {
  BeginSpdyExec();
  process().Exit(0);
  const std::string rest(60'000, 'r');
  ASSERT_TRUE(WriteAll(process().out.get(), rest));
  // The pipe stays open, as by a grandchild.
  ASSERT_TRUE(ReadSpdyUntil([&] { return (*spdy_)[1].finished; }));
  EXPECT_EQ((*spdy_)[5].data, rest);
  EXPECT_EQ((*spdy_)[1].data, kSuccess);
}

TEST_F(BerthStreamTest, EndsTheSessionWhenItsClientGoes) {
  BeginSpdyExec();
  client().Close();
  EXPECT_TRUE(process().Ends());
  // What the monitor sees.
  const auto packet = ReceivePacket(process().monitor(), SteadyNow() + absl::Seconds(20));
  EXPECT_EQ(packet.status().code(), absl::StatusCode::kUnavailable);
}

TEST_F(BerthStreamTest, TellsWhenThePodIsGone) {
  BeginSpdyExec();
  process().CloseMonitor();
  process().out.reset();
  process().err.reset();
  ASSERT_TRUE(ReadSpdyUntil([&] { return (*spdy_)[1].finished; }));
  EXPECT_THAT((*spdy_)[1].data, HasSubstr("the pod has gone away"));
}

TEST_F(BerthStreamTest, TellsWhyASessionCannotBegin) {
  ASSERT_TRUE(client().Send(SpdyUpgradeOf(PathOf(SessionKind::kExec), "v4.channel.k8s.io")));
  process().Redeem(SessionKind::kExec, wire::kSessionStdout);
  client().ReceiveHead();
  for (const char* type : {"error", "stdout"})
    ASSERT_TRUE(client().Send(spdy_->Open(StreamType(type))));
  process().ExpectBegin();
  process().Refuse(9, "the container is not running");
  ASSERT_TRUE(ReadSpdyUntil([&] { return (*spdy_)[1].finished; }));
  EXPECT_THAT((*spdy_)[1].data, HasSubstr("the container is not running"));
  EXPECT_THAT((*spdy_)[1].data, HasSubstr("\"InternalError\""));
}

TEST_F(BerthStreamTest, TellsWhatAShellWouldExitWithAndWhy) {
  ASSERT_TRUE(client().Send(SpdyUpgradeOf(PathOf(SessionKind::kExec), "v4.channel.k8s.io")));
  process().Redeem(SessionKind::kExec, wire::kSessionStdout | wire::kSessionStderr);
  client().ReceiveHead();
  for (const char* type : {"error", "stdout", "stderr"})
    ASSERT_TRUE(client().Send(spdy_->Open(StreamType(type))));
  process().ExpectBegin();
  process().Refuse(5, "exec: no such program", 127);
  ASSERT_TRUE(ReadSpdyUntil([&] { return (*spdy_)[1].finished && (*spdy_)[5].finished; }));
  EXPECT_THAT((*spdy_)[1].data, HasSubstr(R"("reason":"ExitCode","message":"127")"));
  EXPECT_EQ((*spdy_)[5].data, "exec: no such program\n");
}

TEST_F(BerthStreamTest, HoldsASlowProcessBackWithoutKeepingItsInput) {
  BeginSpdyExec();
  // Far more than any buffer between; the client must come to a halt.
  ::fcntl(client().fd(), F_SETFL, O_NONBLOCK);
  const std::string frame = SpdyDataFrame(3, 0, std::string(32 << 10, 'i'));
  size_t sent = 0;
  bool halted = false;
  while (!halted && sent < (64u << 20)) {
    const ssize_t n = ::send(client().fd(), frame.data() + sent % frame.size(),
                             frame.size() - sent % frame.size(), MSG_NOSIGNAL);
    if (n > 0) {
      sent += static_cast<size_t>(n);
      continue;
    }
    ASSERT_EQ(errno, EAGAIN);
    pollfd wait = {.fd = client().fd(), .events = POLLOUT, .revents = 0};
    halted = ::poll(&wait, 1, 2000) == 0;
  }
  EXPECT_TRUE(halted) << sent << " bytes were taken";
  ExpectLittleMemory();
  // Nobody has stopped listening: what was sent arrives.
  size_t frames = sent / frame.size();
  EXPECT_EQ(ReadExactly(process().in.get(), frames << 15).size(), frames << 15);
}

TEST_F(BerthStreamTest, HoldsAFastProcessBackForASlowClient) {
  BeginSpdyExec();
  ::fcntl(process().out.get(), F_SETFL, O_NONBLOCK);
  const std::string block(32 << 10, 'o');
  size_t written = 0;
  bool halted = false;
  while (!halted && written < (64u << 20)) {
    const ssize_t n = ::write(process().out.get(), block.data(), block.size());
    if (n > 0) {
      written += static_cast<size_t>(n);
      continue;
    }
    pollfd wait = {.fd = process().out.get(), .events = POLLOUT, .revents = 0};
    halted = ::poll(&wait, 1, 2000) == 0;
  }
  EXPECT_TRUE(halted) << written << " bytes were taken";
  ExpectLittleMemory();
  process().out.reset();
  process().err.reset();
  process().Exit(0);
  ASSERT_TRUE(ReadSpdyUntil([&] { return (*spdy_)[1].finished; }));
  EXPECT_EQ((*spdy_)[5].data.size(), written);
}

TEST_F(BerthStreamTest, ObeysTheWindowsOfAClientThatHasThem) {
  BeginSpdyExec();
  std::string settings;
  AppendU32(settings, 1);
  AppendU32(settings, kSpdySettingFirstWindow);
  AppendU32(settings, 1000);
  ASSERT_TRUE(client().Send(SpdyControlFrame(SpdyType::kSettings, 0, settings)));
  std::string ping;
  AppendU32(ping, 1);
  ASSERT_TRUE(client().Send(SpdyControlFrame(SpdyType::kPing, 0, ping)));
  ASSERT_TRUE(ReadSpdyUntil([&] { return spdy_->pings.contains(1); }));
  ASSERT_TRUE(WriteAll(process().out.get(), std::string(3000, 'w')));
  ASSERT_TRUE(ReadSpdyUntil([&] { return (*spdy_)[5].data.size() >= 1000; }));
  // Nothing more until the window opens; the answer to a ping comes nevertheless.
  AppendU32(ping = "", 3);
  ASSERT_TRUE(client().Send(SpdyControlFrame(SpdyType::kPing, 0, ping)));
  ASSERT_TRUE(ReadSpdyUntil([&] { return spdy_->pings.contains(3); }));
  EXPECT_EQ((*spdy_)[5].data.size(), 1000u);
  std::string update;
  AppendU32(update, 5);
  AppendU32(update, 5000);
  ASSERT_TRUE(client().Send(SpdyControlFrame(SpdyType::kWindowUpdate, 0, update)));
  ASSERT_TRUE(ReadSpdyUntil([&] { return (*spdy_)[5].data.size() == 3000; }));
}

TEST_F(BerthStreamTest, OpensTheWindowsOfItsClientAsInputIsRead) {
  BeginSpdyExec();
  const std::string input(64 << 10, 'i');
  ASSERT_TRUE(client().Send(SpdyDataFrame(3, 0, input)));
  EXPECT_EQ(ReadExactly(process().in.get(), input.size()).size(), input.size());
  ASSERT_TRUE(ReadSpdyUntil(
      [&] { return spdy_->windows[3] >= (32u << 10) && spdy_->windows[0] >= (32u << 10); }));
}

TEST_F(BerthStreamTest, EndsAConnectionThatBreaksSpdy) {
  const std::string kBad[] = {
      SpdyControlFrame(SpdyType::kSynStream, 0, std::string(70'000, 'x')),  // too long
      SpdyControlFrame(SpdyType::kSynStream, 0, std::string(40, '\xff')),   // does not inflate
      std::string("\x80\x02\x00\x06\x00\x00\x00\x04\x00\x00\x00\x01", 12),  // version 2
      SpdyDataFrame(99, 0, "nobody opened it"),
      SpdyControlFrame(SpdyType::kPing, 0, "12345"),
  };
  for (const std::string& bad : kBad) {
    process_.emplace();
    spdy_.emplace();
    BeginSpdyExec();
    ASSERT_TRUE(client().Send(bad));
    ASSERT_TRUE(ReadSpdyUntil([&] { return spdy_->goes_away; }));
    EXPECT_EQ(spdy_->goaway_status, 1u);
    client().Close();
    EXPECT_TRUE(process().Ends());
  }
}

TEST_F(BerthStreamTest, RefusesStreamsBeyondThoseOfTheSession) {
  BeginSpdyExec();
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(client().Send(spdy_->Open(StreamType("stdin"))));
  ASSERT_TRUE(ReadSpdyUntil([&] { return (*spdy_)[spdy_->last()].reset; }));
  EXPECT_FALSE((*spdy_)[5].reset);
}

TEST_F(BerthStreamTest, AnswersAFloodOfPingsOnlyAsFastAsItIsRead) {
  BeginSpdyExec();
  std::string pings;
  for (uint32_t id = 1; id < 20'000; id += 2) {
    std::string payload;
    AppendU32(payload, id);
    pings += SpdyControlFrame(SpdyType::kPing, 0, payload);
  }
  ::fcntl(client().fd(), F_SETFL, O_NONBLOCK);
  bool halted = false;
  size_t sent = 0;
  while (!halted && sent < (256u << 20)) {
    const ssize_t n = ::send(client().fd(), pings.data() + sent % pings.size(),
                             pings.size() - sent % pings.size(), MSG_NOSIGNAL);
    if (n > 0) {
      sent += static_cast<size_t>(n);
      continue;
    }
    pollfd wait = {.fd = client().fd(), .events = POLLOUT, .revents = 0};
    halted = ::poll(&wait, 1, 2000) == 0;
  }
  EXPECT_TRUE(halted);
  ExpectLittleMemory();
}

// --- exec over WebSocket

TEST_F(BerthStreamTest, CarriesAnExecOverWebSocketV5) {
  BeginWebSocketExec("v5.channel.k8s.io");
  ASSERT_TRUE(client().Send(WebSocketFrame(kWsBinary, absl::string_view("\0abc", 4))));
  ASSERT_TRUE(client().Send(WebSocketFrame(kWsBinary, absl::string_view("\xff\0", 2))));
  EXPECT_EQ(ReadToEnd(process().in.get()), "abc");
  ASSERT_TRUE(WriteAll(process().out.get(), "answer"));
  ASSERT_TRUE(WriteAll(process().err.get(), "complaint"));
  process().out.reset();
  process().err.reset();
  process().Exit(3);
  const auto messages = ReadWebSocketToClose();
  ASSERT_FALSE(messages.empty());
  EXPECT_EQ(messages.front().payload, "\x01");  // says that all is set up
  EXPECT_EQ(ChannelData(messages, 1), "answer");
  EXPECT_EQ(ChannelData(messages, 2), "complaint");
  EXPECT_THAT(ChannelData(messages, 3), HasSubstr(R"("reason":"ExitCode","message":"3")"));
  EXPECT_TRUE(process().Ends());
}

TEST_F(BerthStreamTest, SpeaksBase64) {
  BeginWebSocketExec("base64.channel.k8s.io");
  ASSERT_TRUE(client().Send(WebSocketFrame(kWsText, "0aGVs", false)));
  ASSERT_TRUE(client().Send(WebSocketFrame(0, "bG8=")));
  EXPECT_EQ(ReadExactly(process().in.get(), 5), "hello");
  ASSERT_TRUE(WriteAll(process().out.get(), "hello"));
  process().out.reset();
  process().err.reset();
  process().Exit(0);
  const auto messages = ReadWebSocketToClose();
  EXPECT_EQ(ChannelData(messages, '1'), "aGVsbG8=");
  EXPECT_EQ(ChannelData(messages, '3'), "");
}

TEST_F(BerthStreamTest, AnswersPingsOfAWebSocket) {
  BeginWebSocketExec("v4.channel.k8s.io");
  ASSERT_TRUE(client().Send(WebSocketFrame(kWsPing, "are you there")));
  // Which comes first, the pong or the message that all is set up, is not said.
  WebSocketReader reader;
  while (reader.messages.size() < 2) {
    const std::string bytes = client().Next();
    ASSERT_FALSE(bytes.empty());
    reader.Feed(bytes);
  }
  EXPECT_THAT(reader.messages,
              Contains(AllOf(Field(&WebSocketReader::Message::opcode, kWsPong),
                             Field(&WebSocketReader::Message::payload, "are you there"))));
}

TEST_F(BerthStreamTest, EndsAWebSocketThatBreaksTheRules) {
  std::string unmasked = "\x82\x01";
  unmasked += '\0';
  std::string endless = "\x82\xff";
  endless += std::string("\x00\x00\x00\xff\x00\x00\x00\x00", 8);
  const std::string kBad[] = {
      WebSocketFrame(kWsText, "text where binary is spoken"),
      WebSocketFrame(kWsBinary, "\x09 no such channel"),
      WebSocketFrame(kWsBinary, ""),
      WebSocketFrame(0x03, "an opcode that is none"),
      unmasked,
      endless,
  };
  for (const std::string& bad : kBad) {
    process_.emplace();
    BeginWebSocketExec("v4.channel.k8s.io");
    ASSERT_TRUE(client().Send(bad));
    client().FinishSending();
    client().ReceiveAll();
    client().Close();
    EXPECT_TRUE(process().Ends());
  }
}

// --- terminals

TEST_F(BerthStreamTest, ResizesATerminal) {
  constexpr uint32_t kFlags = wire::kSessionTerminal | wire::kSessionStdin | wire::kSessionStdout;
  ASSERT_TRUE(client().Send(WebSocketUpgradeOf(PathOf(SessionKind::kAttach), "v5.channel.k8s.io")));
  process().Redeem(SessionKind::kAttach, kFlags);
  client().ReceiveHead();
  ASSERT_TRUE(client().Send(WebSocketFrame(kWsBinary, "\x04{\"Width\":80,\"Height\":24}")));
  const wire::BeginRequest begin = process().Begin(kFlags);
  EXPECT_EQ(begin.columns, 80);
  EXPECT_EQ(begin.rows, 24);
  ASSERT_TRUE(client().Send(WebSocketFrame(kWsBinary, "\x04{\"Width\":100,\"Height\":30}")));
  const auto resize = StreamProcess::Expect<wire::Header, wire::ResizeRequest>(process().monitor(),
                                                                               wire::Type::kResize);
  EXPECT_EQ(resize.columns, 100);
  EXPECT_EQ(resize.rows, 30);
  ASSERT_TRUE(client().Send(WebSocketFrame(kWsBinary, absl::string_view("\0in", 3))));
  EXPECT_EQ(ReadExactly(process().terminal.get(), 2), "in");
  ASSERT_TRUE(WriteAll(process().terminal.get(), "out"));
  process().terminal.reset();
  process().Exit(5);
  const auto messages = ReadWebSocketToClose();
  EXPECT_EQ(ChannelData(messages, 1), "out");
  EXPECT_EQ(ChannelData(messages, 3), kSuccess);  // the exit code is the container's own matter
}

TEST_F(BerthStreamTest, EndsAnIdleSession) {
  process_.emplace(std::vector<std::string>{"--idle-timeout-seconds", "1"});
  BeginSpdyExec();
  ASSERT_TRUE(ReadSpdyUntil([&] { return (*spdy_)[1].finished; }));
  EXPECT_THAT((*spdy_)[1].data, HasSubstr("the session was idle for 1 s"));
}

}  // namespace
}  // namespace berth
