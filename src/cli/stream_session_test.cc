#include "src/cli/stream_session.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pty.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <termios.h>

#include <sstream>

#include "absl/time/clock.h"
#include "src/cli/fake_stream_server.h"
#include "src/cli/stream_channels.h"

namespace berth::cli {
namespace {

using testing::HasSubstr;
using Kind = SessionEnd::Kind;

constexpr char kSuccess[] = R"({"metadata":{},"status":"Success"})";
constexpr char kSeven[] =
    R"({"status":"Failure","reason":"NonZeroExitCode","details":{"causes":[{"reason":"ExitCode","message":"7"}]}})";

std::string On(unsigned char channel, const std::string& payload) {
  return ChannelMessage(channel, payload);
}

class StreamSessionTest : public testing::Test {
 protected:
  absl::StatusOr<SessionEnd> Run(const SessionOptions& options) {
    return RunSession(options, {.interrupt = interrupt_, .signals = signals_}, output_);
  }
  absl::StatusOr<SessionEnd> Run(FakeStreamServer& server) { return Run({.url = server.Url()}); }

  Interrupt interrupt_;
  SessionSignals signals_;
  std::ostringstream out_, err_;
  Output output_{.out = out_, .err = err_};
};

TEST_F(StreamSessionTest, PassesOutputOnAndTellsTheExitCode) {
  FakeStreamServer server([](FakeStream& stream) {
    stream.Accept(kV5Protocol);
    EXPECT_THAT(stream.request(), HasSubstr("v5.channel.k8s.io, v4.channel.k8s.io\r\n"));
    EXPECT_THAT(stream.request(), HasSubstr("GET /exec/token HTTP/1.1\r\n"));
    stream.Send(On(kStdoutChannel, ""));
    stream.Send(On(kStdoutChannel, "out"));
    stream.Send(On(kStderrChannel, "err"));
    stream.Ping();
    stream.Send(On(kStdoutChannel, "more"));
    stream.Send(On(kErrorChannel, kSeven));
    stream.Close();
    EXPECT_EQ(stream.pongs, 1);
  });
  const auto end = Run(server);
  ASSERT_TRUE(end.ok()) << end.status();
  EXPECT_EQ(end->kind, Kind::kFinished);
  EXPECT_EQ(end->exit_code, 7);
  EXPECT_TRUE(end->failure.ok());
  EXPECT_EQ(out_.str(), "outmore");
  EXPECT_EQ(err_.str(), "err");
}

TEST_F(StreamSessionTest, EndOfInputIsToldInV5) {
  int fds[2];
  ASSERT_EQ(pipe2(fds, O_CLOEXEC), 0);
  const UniqueFd input(fds[0]);
  ASSERT_EQ(write(fds[1], "hello", 5), 5);
  close(fds[1]);
  FakeStreamServer server([](FakeStream& stream) {
    stream.Accept(kV5Protocol);
    EXPECT_EQ(stream.Receive(), On(kStdinChannel, "hello"));
    EXPECT_EQ(stream.Receive(), std::string("\xff\0", 2));
    stream.Send(On(kErrorChannel, kSuccess));
    stream.Close();
  });
  const auto end = Run({.url = server.Url(), .stdin_fd = input.get()});
  ASSERT_TRUE(end.ok()) << end.status();
  EXPECT_EQ(end->kind, Kind::kFinished);
}

TEST_F(StreamSessionTest, OlderServersAreToldNothingTheyDoNotKnow) {
  int fds[2];
  ASSERT_EQ(pipe2(fds, O_CLOEXEC), 0);
  const UniqueFd input(fds[0]);
  close(fds[1]);
  FakeStreamServer server([](FakeStream& stream) {
    stream.Accept(kV4Protocol);
    stream.Send(On(kErrorChannel, kSuccess));
    stream.Close();  // reads what came
  });
  const auto end = Run({.url = server.Url(), .stdin_fd = input.get()});
  ASSERT_TRUE(end.ok()) << end.status();
  EXPECT_EQ(end->kind, Kind::kFinished);
}

TEST_F(StreamSessionTest, RefusalIsInTheServersWords) {
  FakeStreamServer server([](FakeStream& stream) {
    stream.Refuse("HTTP/1.1 404 Not Found\r\nContent-Length: 13\r\n\r\nno such token");
  });
  const auto end = Run(server);
  EXPECT_EQ(end.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(end.status().message(), HasSubstr("404 Not Found: no such token"));
}

TEST_F(StreamSessionTest, NobodyListens) {
  std::string url;
  {
    url = FakeStreamServer([](FakeStream&) {}, 0).Url();
  }
  EXPECT_THAT(Run({.url = url}).status().message(), HasSubstr("connect: Connection refused"));
}

TEST_F(StreamSessionTest, ABrokenConnectionIsNoSuccess) {
  FakeStreamServer server([](FakeStream& stream) {
    stream.Accept(kV5Protocol);
    stream.Send(On(kStdoutChannel, "half"));
  });
  const auto end = Run(server);
  ASSERT_TRUE(end.ok()) << end.status();
  EXPECT_EQ(end->kind, Kind::kLost);
  EXPECT_THAT(end->failure.message(), HasSubstr("the session is lost: "));
  EXPECT_EQ(out_.str(), "half");
}

TEST_F(StreamSessionTest, AnEndWithoutReportIsNoSuccess) {
  FakeStreamServer server([](FakeStream& stream) {
    stream.Accept(kV5Protocol);
    stream.CloseWith(1011, "pod is gone");
  });
  const auto end = Run(server);
  ASSERT_TRUE(end.ok()) << end.status();
  EXPECT_EQ(end->kind, Kind::kLost);
  EXPECT_THAT(end->failure.message(), HasSubstr("code 1011 pod is gone"));
}

TEST_F(StreamSessionTest, WhatIsDoneOnceReadyMayFail) {
  FakeStreamServer server([](FakeStream& stream) {
    stream.Accept(kV5Protocol);
    stream.Send(On(kStdoutChannel, ""));
    while (stream.Receive().has_value()) {
    }
  });
  SessionOptions options{.url = server.Url()};
  options.on_ready = [] { return absl::NotFoundError("no such command"); };
  EXPECT_EQ(Run(options).status(), absl::NotFoundError("no such command"));
}

TEST_F(StreamSessionTest, ASignalEndsIt) {
  FakeStreamServer server([](FakeStream& stream) {
    stream.Accept(kV5Protocol);
    kill(getpid(), SIGTERM);
    while (stream.Receive().has_value()) {
    }
  });
  const auto end = Run(server);
  ASSERT_TRUE(end.ok()) << end.status();
  EXPECT_EQ(end->kind, Kind::kInterrupted);
  EXPECT_EQ(end->exit_code, 128 + SIGTERM);
}

TEST_F(StreamSessionTest, ASignalCanBeTakenInstead) {
  int fds[2];
  ASSERT_EQ(pipe2(fds, O_CLOEXEC), 0);
  const UniqueFd input(fds[0]), typist(fds[1]);
  ASSERT_EQ(write(typist.get(), "x", 1), 1);
  FakeStreamServer server([](FakeStream& stream) {
    stream.Accept(kV5Protocol);
    EXPECT_EQ(stream.Receive(), On(kStdinChannel, "x"));  // the session is open
    kill(getpid(), SIGINT);
    EXPECT_EQ(stream.Receive(), std::nullopt);
  });
  SessionOptions options{.url = server.Url(), .stdin_fd = input.get()};
  int asked = 0;
  options.on_interrupt = [&] {
    if (++asked == 1) kill(getpid(), SIGINT);
    return asked == 1;
  };
  const auto end = Run(options);
  ASSERT_TRUE(end.ok()) << end.status();
  EXPECT_EQ(end->kind, Kind::kInterrupted);
  EXPECT_EQ(asked, 2);
}

// A terminal of the test's own; the session has its slave.
class TerminalSessionTest : public StreamSessionTest {
 protected:
  TerminalSessionTest() {
    int master = -1, slave = -1;
    winsize size = {.ws_row = 30, .ws_col = 100, .ws_xpixel = 0, .ws_ypixel = 0};
    EXPECT_EQ(openpty(&master, &slave, nullptr, nullptr, &size), 0);
    master_.reset(master);
    slave_.reset(slave);
    tcgetattr(slave, &before_);
  }
  SessionOptions Options(const FakeStreamServer& server) const {
    return {.url = server.Url(),
            .tty = true,
            .stdin_fd = slave_.get(),
            .terminal_fd = slave_.get(),
            .detach_keys = "\x10\x11"};
  }
  bool IsRaw() const {
    termios now;
    tcgetattr(slave_.get(), &now);
    return (now.c_lflag & (ICANON | ECHO | ISIG)) == 0;
  }
  bool IsAsBefore() const {
    termios now;
    tcgetattr(slave_.get(), &now);
    return now.c_lflag == before_.c_lflag && now.c_iflag == before_.c_iflag &&
           now.c_oflag == before_.c_oflag && now.c_cflag == before_.c_cflag;
  }
  // Before the terminal is raw, Ctrl-C is a signal to nobody and a line waits for its end.
  void Type(const std::string& keys) const {
    const absl::Time until = absl::Now() + absl::Seconds(20);
    while (!IsRaw() && absl::Now() < until) absl::SleepFor(absl::Milliseconds(1));
    EXPECT_TRUE(IsRaw());
    EXPECT_EQ(write(master_.get(), keys.data(), keys.size()), static_cast<ssize_t>(keys.size()));
  }
  UniqueFd master_, slave_;
  termios before_;
};

TEST_F(TerminalSessionTest, IsRawWhileItLastsAndTellsItsSize) {
  FakeStreamServer server([this](FakeStream& stream) {
    stream.Accept(kV5Protocol);
    EXPECT_EQ(stream.Receive(), On(kResizeChannel, R"({"Width":100,"Height":30})"));
    Type("\x03");  // Ctrl-C is a key like any other
    EXPECT_EQ(stream.Receive(), On(kStdinChannel, "\x03"));
    const winsize size = {.ws_row = 31, .ws_col = 101, .ws_xpixel = 0, .ws_ypixel = 0};
    ioctl(master_.get(), TIOCSWINSZ, &size);
    kill(getpid(), SIGWINCH);  // it is not our controlling terminal
    EXPECT_EQ(stream.Receive(), On(kResizeChannel, R"({"Width":101,"Height":31})"));
    stream.Send(On(kErrorChannel, kSuccess));
    stream.Close();
  });
  const auto end = Run(Options(server));
  ASSERT_TRUE(end.ok()) << end.status();
  EXPECT_EQ(end->kind, Kind::kFinished);
  EXPECT_TRUE(IsAsBefore());
}

TEST_F(TerminalSessionTest, IsLeftByTheDetachKeys) {
  FakeStreamServer server([this](FakeStream& stream) {
    stream.Accept(kV5Protocol);
    stream.Receive();  // the size
    Type("ab\x10\x11zz");
    EXPECT_EQ(stream.Receive(), On(kStdinChannel, "ab"));
    EXPECT_EQ(stream.Receive(), std::nullopt);
    stream.Close();
  });
  const auto end = Run(Options(server));
  ASSERT_TRUE(end.ok()) << end.status();
  EXPECT_EQ(end->kind, Kind::kDetached);
  EXPECT_TRUE(IsAsBefore());
}

TEST_F(TerminalSessionTest, IsGivenBackWhenTheConnectionBreaks) {
  FakeStreamServer server([](FakeStream& stream) {
    stream.Accept(kV5Protocol);
    stream.Receive();
  });
  const auto end = Run(Options(server));
  ASSERT_TRUE(end.ok()) << end.status();
  EXPECT_EQ(end->kind, Kind::kLost);
  EXPECT_TRUE(IsAsBefore());
}

TEST_F(TerminalSessionTest, IsGivenBackAfterASignal) {
  FakeStreamServer server([](FakeStream& stream) {
    stream.Accept(kV5Protocol);
    stream.Receive();
    kill(getpid(), SIGHUP);
    while (stream.Receive().has_value()) {
    }
  });
  const auto end = Run(Options(server));
  ASSERT_TRUE(end.ok()) << end.status();
  EXPECT_EQ(end->kind, Kind::kInterrupted);
  EXPECT_EQ(end->exit_code, 128 + SIGHUP);
  EXPECT_TRUE(IsAsBefore());
}

}  // namespace
}  // namespace berth::cli
