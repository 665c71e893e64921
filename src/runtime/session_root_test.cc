// Sessions of a monitor: execs whose streams a client has, attachments, connections to ports.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <termios.h>

#include "src/base/steady_time.h"
#include "src/runtime/testing/monitor_fixture.h"

namespace berth {
namespace {

using ::testing::HasSubstr;

std::string ReadAll(const UniqueFd& fd) {
  std::string all;
  char buffer[4096];
  pollfd wait = {.fd = fd.get(), .events = POLLIN, .revents = 0};
  while (poll(&wait, 1, 20000) == 1) {
    const ssize_t n = read(fd.get(), buffer, sizeof(buffer));
    if (n <= 0) break;
    all.append(buffer, n);
  }
  return all;
}

std::string ReadUntil(const UniqueFd& fd, const std::string& text) {
  std::string all;
  char buffer[4096];
  pollfd wait = {.fd = fd.get(), .events = POLLIN, .revents = 0};
  while (!absl::StrContains(all, text) && poll(&wait, 1, 20000) == 1) {
    const ssize_t n = read(fd.get(), buffer, sizeof(buffer));
    if (n <= 0) break;
    all.append(buffer, n);
  }
  return all;
}

void WriteAll(const UniqueFd& fd, absl::string_view text) {
  EXPECT_EQ(write(fd.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
}

class SessionTest : public MonitorTest {
 protected:
  absl::StatusOr<MonitorSession> Attach(const Container& container, const ExecStreams& streams) {
    return client_->Attach({.container_id = container.id, .streams = streams});
  }
  // A session that was closed is read to its end, one message after the other.
  bool AwaitOpenFds(size_t count) {
    const absl::Time deadline = SteadyNow() + kPatience;
    while (OpenFds() != count) {
      if (SteadyNow() > deadline) return false;
    }
    return true;
  }
  // A container that reads its stdin.
  Container& StartReader(const std::string& script, StartOptions options = {}) {
    Container& container = MakeContainer();
    options.stdin_open = !options.terminal;
    EXPECT_TRUE(Start(container, script, options).ok());
    return container;
  }
  void SendRaw(const MonitorSession& session, wire::Type type) {
    const wire::Header header = {.magic = wire::kProtocolMagic,
                                 .version = wire::kProtocolVersion,
                                 .type = static_cast<uint16_t>(type)};
    EXPECT_TRUE(
        SendPacket(session.connection.get(),
                   absl::string_view(reinterpret_cast<const char*>(&header), sizeof(header)), {})
            .ok());
  }
};

TEST_F(SessionTest, ExecHasItsThreeStreams) {
  StartMonitor();
  Container& container = StartSleeper();
  absl::StatusOr<MonitorSession> session =
      ExecSession(container, "cat; echo err >&2; exit 5", {.input = true});
  ASSERT_TRUE(session.ok()) << session.status();
  WriteAll(session->input, "to and fro\n");
  session->input.reset();
  EXPECT_EQ(ReadAll(session->output), "to and fro\n");
  EXPECT_EQ(ReadAll(session->error_output), "err\n");
  EXPECT_EQ(SessionExit(*session).exit_code, 5);
  EXPECT_TRUE(AwaitExecsGone(container));
}

TEST_F(SessionTest, ExecWithoutAStreamHasNull) {
  StartMonitor();
  Container& container = StartSleeper();
  absl::StatusOr<MonitorSession> session =
      ExecSession(container, "for fd in 0 2; do busybox readlink /proc/self/fd/$fd; done; exit 0",
                  {.error_output = false});
  ASSERT_TRUE(session.ok()) << session.status();
  EXPECT_FALSE(session->input.valid() || session->error_output.valid());
  EXPECT_EQ(ReadAll(session->output), "/dev/null\n/dev/null\n");
  EXPECT_EQ(SessionExit(*session).exit_code, 0);
}

TEST_F(SessionTest, ExecHasATerminalOfTheContainersOfTheGivenSize) {
  StartMonitor();
  Container& container = StartSleeper();
  absl::StatusOr<MonitorSession> session =
      ExecSession(container, "tty; busybox stty size; read line; busybox stty size; exit 3",
                  {.input = true, .terminal = true, .rows = 33, .columns = 101});
  ASSERT_TRUE(session.ok()) << session.status();
  EXPECT_THAT(ReadUntil(session->output, "101"), HasSubstr("/dev/pts/0\r\n33 101"));
  const winsize size = {.ws_row = 44, .ws_col = 55, .ws_xpixel = 0, .ws_ypixel = 0};
  ASSERT_EQ(ioctl(session->output.get(), TIOCSWINSZ, &size), 0);
  WriteAll(session->output, "\n");
  EXPECT_THAT(ReadAll(session->output), HasSubstr("44 55"));
  EXPECT_EQ(SessionExit(*session).exit_code, 3);
}

TEST_F(SessionTest, ExecThatCannotStartIsAnError) {
  StartMonitor();
  Container& container = StartSleeper();
  const LaunchPlan plan = BuildExecPlan({.args = {"nope"}, .streams = {.input = true}});
  const absl::Status failed =
      client_
          ->StartExecSession(
              {.container_id = container.id, .plan = &plan, .streams = {.input = true}})
          .status();
  EXPECT_EQ(failed.message(), "exec: \"nope\": executable file not found in $PATH");
  EXPECT_TRUE(AwaitExecsGone(container));
}

TEST_F(SessionTest, ExecEndsWithItsConnection) {
  StartMonitor();
  Container& container = StartSleeper();
  for (const bool terminal : {false, true}) {
    absl::StatusOr<MonitorSession> session = ExecSession(
        container, "echo up; sleep 1000 & sleep 1001", {.input = true, .terminal = terminal});
    ASSERT_TRUE(session.ok()) << session.status();
    ReadUntil(session->output, "up");
    *session = {};
    EXPECT_TRUE(AwaitExecsGone(container)) << "terminal " << terminal;
  }
}

TEST_F(SessionTest, ExecThatIgnoresTheHangUpIsKilled) {
  StartMonitor();
  Container& container = StartSleeper();
  absl::StatusOr<MonitorSession> session =
      ExecSession(container, "trap '' HUP PIPE; echo up; while :; do sleep 1000; done", {});
  ASSERT_TRUE(session.ok()) << session.status();
  ReadUntil(session->output, "up");
  *session = {};
  EXPECT_TRUE(AwaitExecsGone(container));
}

TEST_F(SessionTest, WhatAFinishedExecLeftRunsOn) {
  StartMonitor();
  Container& container = StartSleeper();
  absl::StatusOr<MonitorSession> session =
      ExecSession(container, "sleep 1000 >/dev/null 2>&1 & echo $!", {.error_output = false});
  ASSERT_TRUE(session.ok()) << session.status();
  const std::string pid = ReadAll(session->output);
  EXPECT_EQ(SessionExit(*session).exit_code, 0);
  *session = {};
  const absl::StatusOr<ExecSyncResult> alive = Exec(container, "kill -0 " + pid);
  ASSERT_TRUE(alive.ok()) << alive.status();
  EXPECT_EQ(alive->exit_code, 0) << "it is gone";
  EXPECT_EQ(BusyLeaves(container), 1u);
  ASSERT_TRUE(Exec(container, "kill -9 " + pid).ok());
  EXPECT_TRUE(AwaitExecsGone(container));
}

TEST_F(SessionTest, WhatAFinishedExecLeftEndsWithTheContainer) {
  StartMonitor();
  Container& container = MakeContainer();
  ASSERT_TRUE(Start(container, "sleep 1000", {.pid_mode = wire::PidMode::kNode}).ok());
  absl::StatusOr<MonitorSession> session = ExecSession(
      container, "busybox setsid sleep 1000 >/dev/null 2>&1 & echo $!", {.error_output = false});
  ASSERT_TRUE(session.ok()) << session.status();
  int pid = 0;
  ASSERT_TRUE(absl::SimpleAtoi(ReadAll(session->output), &pid));
  const UniqueFd left(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  ASSERT_TRUE(left.valid());
  ASSERT_TRUE(client_->Stop(container.id, SIGKILL, absl::ZeroDuration()).ok());
  EXPECT_EQ(AwaitExit(container.id).exit_code, 137);
  EXPECT_TRUE(HasEnded(left.get()));
}

TEST_F(SessionTest, NothingElseMayBeAskedOnItsConnection) {
  StartMonitor();
  Container& container = StartSleeper();
  for (const wire::Type type : {wire::Type::kHello, wire::Type::kShutdown, wire::Type::kWatch,
                                wire::Type::kExec, wire::Type::kResize, wire::Type::kConnect}) {
    absl::StatusOr<MonitorSession> session = ExecSession(container, "sleep 1000", {});
    ASSERT_TRUE(session.ok()) << session.status();
    SendRaw(*session, type);
    const absl::Status answer =
        ReceivePacket(session->connection.get(), SteadyNow() + kPatience).status();
    EXPECT_TRUE(absl::IsUnavailable(answer)) << static_cast<int>(type) << ": " << answer;
  }
  EXPECT_TRUE(AwaitExecsGone(container));
}

TEST_F(SessionTest, AttachedSeeWhatTheLogSees) {
  StartMonitor();
  Pipe log;
  Container& container =
      StartReader("read line; echo out; echo err >&2; exit 6", {.log = log.write.get()});
  absl::StatusOr<MonitorSession> first = Attach(container, {.input = true});
  absl::StatusOr<MonitorSession> second = Attach(container, {.output = false});
  ASSERT_TRUE(first.ok()) << first.status();
  ASSERT_TRUE(second.ok()) << second.status();
  WriteAll(first->input, "go\n");
  EXPECT_EQ(ReadAll(first->output), "out\n");
  EXPECT_EQ(ReadAll(first->error_output), "err\n");
  EXPECT_FALSE(second->output.valid());
  EXPECT_EQ(ReadAll(second->error_output), "err\n");
  EXPECT_EQ(SessionExit(*first).exit_code, 6);
  EXPECT_EQ(SessionExit(*second).exit_code, 6);
  AwaitExit(container.id);
  log.write.reset();
  EXPECT_THAT(log.Await("\xff"),
              testing::AllOf(HasSubstr(" stdout F out\n"), HasSubstr(" stderr F err\n")));
}

TEST_F(SessionTest, DetachingDoesNotEndTheContainer) {
  StartMonitor();
  Container& container = StartReader("while read line; do echo got $line; done; exit 9");
  for (const char* word : {"one", "two"}) {
    absl::StatusOr<MonitorSession> session = Attach(container, {.input = true});
    ASSERT_TRUE(session.ok()) << session.status();
    WriteAll(session->input, absl::StrCat(word, "\n"));
    EXPECT_THAT(ReadUntil(session->output, word), HasSubstr(absl::StrCat("got ", word)));
  }
  EXPECT_EQ(Replay()[container.id].running, true);
}

TEST_F(SessionTest, StdinOnceEndsWithTheFirstWhoIsAttached) {
  StartMonitor();
  Container& container = StartReader("busybox wc -c; read line; exit 2", {.stdin_once = true});
  absl::StatusOr<MonitorSession> first = Attach(container, {.input = true});
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_TRUE(first->takes_input);
  absl::StatusOr<MonitorSession> second = Attach(container, {.input = true});
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_FALSE(second->takes_input || second->input.valid());
  WriteAll(first->input, "12345");
  first->input.reset();
  EXPECT_EQ(ReadAll(second->output), "5\n");
  EXPECT_EQ(SessionExit(*second).exit_code, 2);
}

TEST_F(SessionTest, ContainerWithoutStdinTakesNone) {
  StartMonitor();
  Container& container = StartSleeper();
  absl::StatusOr<MonitorSession> session = Attach(container, {.input = true});
  ASSERT_TRUE(session.ok()) << session.status();
  EXPECT_FALSE(session->takes_input || session->input.valid());
}

TEST_F(SessionTest, AttachedBeforeTheStartMissNothing) {
  StartMonitor();
  Container& container = MakeContainer();
  absl::StatusOr<MonitorSession> session = Attach(container, {.input = true});
  ASSERT_TRUE(session.ok()) << session.status();
  WriteAll(session->input, "early\n");
  ASSERT_TRUE(Start(container, "read line; echo $line; exit 4", {.stdin_open = true}).ok());
  EXPECT_EQ(ReadAll(session->output), "early\n");
  EXPECT_EQ(SessionExit(*session).exit_code, 4);
}

TEST_F(SessionTest, AttachedToWhatCannotStartAreTold) {
  StartMonitor();
  Container& container = MakeContainer();
  absl::StatusOr<MonitorSession> session = Attach(container, {});
  ASSERT_TRUE(session.ok()) << session.status();
  EXPECT_FALSE(StartPlan(container, PlanOf(container, MakeSpec(container, {"nope"}))).ok());
  EXPECT_EQ(ReadAll(session->output), "");
  EXPECT_EQ(SessionExit(*session).exit_code, 128);
  absl::StatusOr<MonitorSession> never = Attach(container, {});
  ASSERT_TRUE(never.ok()) << never.status();
  ASSERT_TRUE(client_->Forget(container.id).ok());
  EXPECT_EQ(ReadAll(never->output), "");
}

TEST_F(SessionTest, AttachedToATerminalTypeAndSeeAndResize) {
  StartMonitor();
  Container& container =
      StartReader("busybox stty size; read line; echo got $line; busybox stty size; exit 8",
                  {.terminal = true});
  absl::StatusOr<MonitorSession> watcher = Attach(container, {.terminal = true});
  absl::StatusOr<MonitorSession> typist =
      Attach(container, {.input = true, .terminal = true, .rows = 21, .columns = 43});
  ASSERT_TRUE(watcher.ok()) << watcher.status();
  ASSERT_TRUE(typist.ok()) << typist.status();
  EXPECT_FALSE(watcher->takes_input);
  WriteAll(typist->output, "word\n");
  EXPECT_THAT(ReadAll(typist->output), testing::AllOf(HasSubstr("got word"), HasSubstr("21 43")));
  EXPECT_THAT(ReadAll(watcher->output), HasSubstr("got word"));
  EXPECT_EQ(SessionExit(*typist).exit_code, 8);
}

TEST_F(SessionTest, AttachNeedsTheContainersKindOfStreams) {
  StartMonitor();
  Container& container = StartSleeper();
  EXPECT_FALSE(Attach(container, {.terminal = true}).ok());
  ASSERT_TRUE(client_->Stop(container.id, SIGKILL, absl::ZeroDuration()).ok());
  AwaitExit(container.id);
  EXPECT_EQ(Attach(container, {}).status().code(), absl::StatusCode::kNotFound);
}

// The container is held for a while, no byte is lost, and in the end it goes on without the one who
// does not read.
TEST_F(SessionTest, WhoDoesNotReadIsLetGoOf) {
  StartMonitor();
  const std::string path = root_ + "/log";
  const UniqueFd log(open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  Container& container = StartReader(
      "read line; dd if=/dev/zero bs=65536 count=64 2>/dev/null; exit 0", {.log = log.get()});
  absl::StatusOr<MonitorSession> idle = Attach(container, {.input = true});
  absl::StatusOr<MonitorSession> reader = Attach(container, {});
  ASSERT_TRUE(idle.ok()) << idle.status();
  ASSERT_TRUE(reader.ok()) << reader.status();
  const std::string before = ProcFile("statm");
  WriteAll(idle->input, "go\n");
  EXPECT_EQ(ReadAll(reader->output).size(), 4u << 20);
  EXPECT_EQ(SessionExit(*reader).exit_code, 0);
  const absl::Status cut = ReceivePacket(idle->connection.get(), SteadyNow() + kPatience).status();
  EXPECT_TRUE(cut.ok()) << "told why: " << cut;
  EXPECT_TRUE(
      absl::IsUnavailable(ReceivePacket(idle->connection.get(), SteadyNow() + kPatience).status()));
  EXPECT_GT(std::filesystem::file_size(path), 4u << 20);
}

class ForwardTest : public SessionTest {
 protected:
  struct Answer {
    uint32_t request = 0;
    int error = 0;
    UniqueFd connection;
  };
  static int Listen(int family, UniqueFd* listener) {
    listener->reset(socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_storage storage = {};
    storage.ss_family = static_cast<sa_family_t>(family);
    socklen_t length = family == AF_INET6 ? sizeof(sockaddr_in6) : sizeof(sockaddr_in);
    auto* address = reinterpret_cast<sockaddr*>(&storage);
    if (family == AF_INET6) {
      reinterpret_cast<sockaddr_in6*>(address)->sin6_addr = in6addr_loopback;
    } else {
      reinterpret_cast<sockaddr_in*>(address)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    }
    if (bind(listener->get(), address, length) != 0 || listen(listener->get(), 8) != 0) return -1;
    getsockname(listener->get(), address, &length);
    return ntohs(reinterpret_cast<sockaddr_in*>(address)->sin_port);  // at the same place in both
  }
  static void Ask(const UniqueFd& session, uint32_t request, uint16_t port) {
    struct {
      wire::Header header;
      wire::ConnectRequest connect;
    } message = {{.magic = wire::kProtocolMagic,
                  .version = wire::kProtocolVersion,
                  .type = static_cast<uint16_t>(wire::Type::kConnect)},
                 {.request = request, .port = port}};
    EXPECT_TRUE(
        SendPacket(session.get(),
                   absl::string_view(reinterpret_cast<const char*>(&message), sizeof(message)), {})
            .ok());
  }
  static Answer Await(const UniqueFd& session) {
    absl::StatusOr<Packet> packet = ReceivePacket(session.get(), SteadyNow() + kPatience);
    EXPECT_TRUE(packet.ok()) << packet.status();
    Answer answer;
    if (!packet.ok()) return answer;
    wire::Header header;
    std::memcpy(&header, packet->data.data(), sizeof(header));
    if (header.type == static_cast<uint16_t>(wire::Type::kError)) {
      wire::ErrorReply error;
      std::memcpy(&error, packet->data.data() + sizeof(header), sizeof(error));
      answer.request = static_cast<uint32_t>(error.step);
      answer.error = error.error;
      return answer;
    }
    wire::ConnectedReply reply;
    std::memcpy(&reply, packet->data.data() + sizeof(header), sizeof(reply));
    answer.request = reply.request;
    EXPECT_EQ(packet->fds.size(), 1u);
    if (!packet->fds.empty()) answer.connection = std::move(packet->fds[0]);
    return answer;
  }
};

TEST_F(ForwardTest, ConnectsToBothFamiliesAndSaysWhatIsRefused) {
  StartMonitor();
  absl::StatusOr<UniqueFd> session = client_->PortForward();
  ASSERT_TRUE(session.ok()) << session.status();
  UniqueFd listener;
  for (const int family : {AF_INET, AF_INET6}) {
    const int port = Listen(family, &listener);
    if (port < 0 && family == AF_INET6) continue;  // a kernel without IPv6
    ASSERT_GT(port, 0);
    Ask(*session, 70 + family, static_cast<uint16_t>(port));
    const Answer answer = Await(*session);
    EXPECT_EQ(answer.request, 70u + family);
    ASSERT_TRUE(answer.connection.valid());
    const UniqueFd accepted(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
    WriteAll(answer.connection, "hello");
    EXPECT_EQ(ReadUntil(accepted, "hello"), "hello");
    listener.reset();
    Ask(*session, 80, static_cast<uint16_t>(port));
    const Answer refused = Await(*session);
    EXPECT_EQ(refused.request, 80u);
    EXPECT_EQ(refused.error, ECONNREFUSED);
  }
  Ask(*session, 90, 0);
  EXPECT_EQ(Await(*session).error, EINVAL);
}

TEST_F(ForwardTest, IsInThePodsNetwork) {
  StartMonitor({.hostname = "web"});
  UniqueFd listener;
  const int port = Listen(AF_INET, &listener);  // of the node
  ASSERT_GT(port, 0);
  absl::StatusOr<UniqueFd> session = client_->PortForward();
  ASSERT_TRUE(session.ok()) << session.status();
  Ask(*session, 1, static_cast<uint16_t>(port));
  EXPECT_NE(Await(*session).error, 0);
}

TEST_F(ForwardTest, LeavesNoDescriptorsBehind) {
  StartMonitor();
  const size_t before = OpenFds();
  UniqueFd listener;
  const int port = Listen(AF_INET, &listener);
  for (int i = 0; i < 20; ++i) {
    absl::StatusOr<UniqueFd> session = client_->PortForward();
    ASSERT_TRUE(session.ok()) << session.status();
    for (uint32_t n = 0; n < 10; ++n) Ask(*session, n, static_cast<uint16_t>(port));
  }
  EXPECT_TRUE(AwaitOpenFds(before));
}

TEST_F(SessionTest, LeaveNoDescriptorsBehind) {
  StartMonitor();
  Container& container = StartReader("while read line; do echo $line; done");
  ASSERT_TRUE(Exec(container, "true").ok());
  Replay();  // a round trip: the cgroup of that exec is kept by now
  const size_t before = OpenFds();
  for (int i = 0; i < 20; ++i) {
    absl::StatusOr<MonitorSession> exec =
        ExecSession(container, "sleep 1000", {.input = true, .terminal = i % 2 == 0});
    absl::StatusOr<MonitorSession> attached = Attach(container, {.input = true});
    ASSERT_TRUE(exec.ok() && attached.ok());
    if (i % 3 == 0) WriteAll(attached->input, "x\n");
  }
  EXPECT_TRUE(AwaitExecsGone(container));
  EXPECT_TRUE(AwaitOpenFds(before));
}

}  // namespace
}  // namespace berth
