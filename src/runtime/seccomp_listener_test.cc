// The agent's side of a notifying filter: it gets the descriptor and answers the process.
#include "src/runtime/seccomp_listener.h"
#include "src/base/steady_time.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <cstdlib>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "src/kernel/file.h"
#include "src/kernel/socket.h"
#include "src/runtime/seccomp_profile.h"
#include "src/runtime/testing/under_filter.h"

namespace berth {
namespace {

using testing::HasSubstr;

class SeccompListener : public testing::Test {
 protected:
  SeccompListener() {
    std::string name = absl::StrCat(testing::TempDir(), "/listener-XXXXXX");
    EXPECT_NE(mkdtemp(name.data()), nullptr);
    directory_ = name;
    program_.listener_path = directory_ + "/agent.sock";
  }
  ~SeccompListener() override { EXPECT_TRUE(RemoveTreeAt(AT_FDCWD, directory_).ok()); }

  void Listen(bool one_may_wait = false) {
    absl::StatusOr<UniqueFd> socket = ListenUnix(program_.listener_path, SOCK_STREAM, 0600);
    ASSERT_TRUE(socket.ok()) << socket.status();
    agent_ = *std::move(socket);
    // A backlog of 0: one connection may wait to be accepted.
    if (one_may_wait) {
      ASSERT_EQ(listen(agent_.get(), 0), 0);
    }
  }

  std::string directory_;
  SeccompProgram program_;
  UniqueFd agent_;
};

TEST_F(SeccompListener, SendsTheContainersStateWithTheDescriptor) {
  Listen();
  program_.listener_metadata = "meta \"data\"";
  int pipe_ends[2];
  ASSERT_EQ(pipe2(pipe_ends, O_CLOEXEC), 0);
  UniqueFd read(pipe_ends[0]), write(pipe_ends[1]);
  const absl::Status sent = SendSeccompListener(
      program_, {.container_id = "c1", .bundle = "/bundle", .pid = 4711}, write);
  ASSERT_TRUE(sent.ok()) << sent;
  const UniqueFd connection(accept4(agent_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  absl::StatusOr<Packet> packet = ReceivePacket(connection.get(), SteadyNow() + absl::Seconds(10));
  ASSERT_TRUE(packet.ok()) << packet.status();
  EXPECT_EQ(nlohmann::json::parse(packet->data), nlohmann::json::parse(R"({
      "ociVersion":"1.2.0","fds":["seccompFd"],"pid":4711,"metadata":"meta \"data\"",
      "state":{"ociVersion":"1.2.0","id":"c1","status":"creating","pid":4711,"bundle":"/bundle"}})"));
  ASSERT_EQ(packet->fds.size(), 1u);
  struct stat ours, theirs;
  ASSERT_EQ(fstat(write.get(), &ours), 0);
  ASSERT_EQ(fstat(packet->fds[0].get(), &theirs), 0);
  EXPECT_EQ(ours.st_ino, theirs.st_ino);
  EXPECT_FALSE(ReceivePacket(connection.get(), SteadyNow() + absl::Seconds(10)).ok())
      << "the connection is closed behind the message";
}

TEST_F(SeccompListener, ReachesSocketsWithLongNames) {
  directory_ += std::string("/") + std::string(120, 'd');
  ASSERT_EQ(mkdir(directory_.c_str(), 0700), 0);
  program_.listener_path = directory_ + "/agent.sock";
  Listen();
  const absl::Status sent = SendSeccompListener(program_, {.container_id = "c"}, UniqueFd(dup(0)));
  EXPECT_TRUE(sent.ok()) << sent;
  directory_.resize(directory_.rfind('/'));
}

TEST_F(SeccompListener, SaysWhatIsMissing) {
  const absl::Status absent =
      SendSeccompListener(program_, {.container_id = "c"}, UniqueFd(dup(0)));
  EXPECT_EQ(absent.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(absent.message()), HasSubstr(program_.listener_path));
  program_.listener_path = "";
  const absl::Status nowhere =
      SendSeccompListener(program_, {.container_id = "c7"}, UniqueFd(dup(0)));
  EXPECT_EQ(nowhere.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(nowhere.message()), HasSubstr("c7"));
}

TEST_F(SeccompListener, GivesUpOnAnAgentThatAcceptsNobody) {
  Listen(/*one_may_wait=*/true);
  absl::Status last;
  for (int i = 0; i < 4 && last.ok(); ++i) {
    last = SendSeccompListener(program_, {.container_id = "c"}, UniqueFd(dup(0)),
                               absl::Milliseconds(20));
  }
  EXPECT_EQ(last.code(), absl::StatusCode::kDeadlineExceeded) << last;
}

// The whole way: a real filter, its descriptor, and an agent that answers the call.
TEST_F(SeccompListener, LetsTheAgentAnswerForTheKernel) {
  Listen();
  const absl::StatusOr<SeccompProgram> program = CompileSeccompProfile(
      absl::StrCat(R"({"defaultAction":"SCMP_ACT_ALLOW","listenerPath":")", program_.listener_path,
                   R"(","syscalls":[{"names":["mkdir"],"action":"SCMP_ACT_NOTIFY"}]})"),
      0);
  ASSERT_TRUE(program.ok()) << program.status();
  int ends[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
  UniqueFd ours(ends[0]), theirs(ends[1]);
  const pid_t pid = fork();
  if (pid == 0) {
    const int listener = LoadFilter(program->filter, SECCOMP_FILTER_FLAG_NEW_LISTENER);
    if (listener < 0 || !SendPacket(theirs.get(), "fd", {listener}).ok()) _exit(254);
    close(listener);
    _exit(syscall(SYS_mkdir, "/nowhere/at/all", 0700) == 0 ? 0 : errno);
  }
  theirs.reset();
  absl::StatusOr<Packet> packet = ReceivePacket(ours.get(), SteadyNow() + absl::Seconds(10));
  ASSERT_TRUE(packet.ok()) << packet.status();
  ASSERT_EQ(packet->fds.size(), 1u);
  const absl::Status sent =
      SendSeccompListener(*program, {.container_id = "c", .pid = pid}, packet->fds[0]);
  ASSERT_TRUE(sent.ok()) << sent;
  packet->fds.clear();

  const UniqueFd connection(accept4(agent_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  absl::StatusOr<Packet> state = ReceivePacket(connection.get(), SteadyNow() + absl::Seconds(10));
  ASSERT_TRUE(state.ok()) << state.status();
  ASSERT_EQ(state->fds.size(), 1u);
  pollfd called = {.fd = state->fds[0].get(), .events = POLLIN};
  ASSERT_EQ(poll(&called, 1, 10'000), 1);
  seccomp_notif call = {};
  ASSERT_EQ(ioctl(state->fds[0].get(), SECCOMP_IOCTL_NOTIF_RECV, &call), 0) << strerror(errno);
  EXPECT_EQ(call.data.nr, SYS_mkdir);
  EXPECT_EQ(static_cast<pid_t>(call.pid), pid);
  seccomp_notif_resp answer = {.id = call.id, .val = 0, .error = -EXDEV, .flags = 0};
  ASSERT_EQ(ioctl(state->fds[0].get(), SECCOMP_IOCTL_NOTIF_SEND, &answer), 0);
  int status = -1;
  ASSERT_EQ(waitpid(pid, &status, 0), pid);
  EXPECT_EQ(WEXITSTATUS(status), EXDEV);
}

}  // namespace
}  // namespace berth
