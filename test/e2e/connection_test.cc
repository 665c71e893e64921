// The socket itself: grpc.health.v1, and clients that take connections and give nothing for them.
// Whoever calls honestly meanwhile is answered.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <thread>

#include "absl/strings/str_cat.h"
#include "src/base/unique_fd.h"
#include "src/kernel/socket.h"
#include "test/e2e/berth_command.h"
#include "test/e2e/e2e_test.h"
#include "test/e2e/own_node.h"
#include "test/e2e/process_search.h"
#include "test/e2e/raw_call.h"

namespace berth::e2e {
namespace {

using ::testing::ElementsAre;

constexpr char kCheck[] = "/grpc.health.v1.Health/Check";
constexpr char kWatch[] = "/grpc.health.v1.Health/Watch";
// HealthCheckResponse with status 1 and 2.
constexpr char kServing[] = "\x08\x01", kNotServing[] = "\x08\x02";
// RFC 9113: the preface and an empty SETTINGS frame; then a client would go on.
constexpr absl::string_view kHalfOpen("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0", 33);

// HealthCheckRequest
std::string ServiceNamed(const std::string& name) {
  return absl::StrCat("\x0a", std::string(1, static_cast<char>(name.size())), name);
}

bool IsClosed(const UniqueFd& connection) {
  pollfd state = {.fd = connection.get(), .events = POLLRDHUP, .revents = 0};
  return poll(&state, 1, 0) > 0 && (state.revents & (POLLHUP | POLLRDHUP)) != 0;
}

size_t Open(const std::vector<UniqueFd>& connections) {
  return static_cast<size_t>(std::count_if(connections.begin(), connections.end(),
                                           [](const UniqueFd& fd) { return !IsClosed(fd); }));
}

size_t DescriptorsOf(pid_t pid) {
  const std::filesystem::directory_iterator entries(absl::StrCat("/proc/", pid, "/fd"));
  return static_cast<size_t>(std::distance(begin(entries), end(entries)));
}

void RaiseOwnDescriptorLimit() {
  rlimit limit = {};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
  limit.rlim_cur = limit.rlim_max;
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

class ConnectionTest : public E2eTest {
 protected:
  static std::vector<UniqueFd> DialMany(const std::string& socket, int count,
                                        absl::string_view bytes) {
    std::vector<UniqueFd> connections;
    for (int i = 0; i < count; ++i) {
      absl::StatusOr<UniqueFd> fd = ConnectUnix(socket, SOCK_STREAM);
      if (!fd.ok()) break;
      send(fd->get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
      connections.push_back(*std::move(fd));
    }
    EXPECT_EQ(connections.size(), static_cast<size_t>(count));
    return connections;
  }
  // As a process of its own, with a connection of its own.
  static void ExpectAnswered(const std::string& socket) {
    ASSERT_OK_AND_ASSIGN(const CommandResult result, RunBerth(socket, {"version"}));
    EXPECT_EQ(result.code, 0) << result.err;
  }
};

TEST_F(ConnectionTest, HealthIsToldForTheServerAndEachService) {
  RawCaller caller(node().daemon().socket());
  for (const std::string& service : {std::string(), ServiceNamed("runtime.v1.RuntimeService"),
                                     ServiceNamed("runtime.v1.ImageService")}) {
    ASSERT_OK_AND_ASSIGN(const auto checked, caller.Call(kCheck, service));
    EXPECT_THAT(checked, ElementsAre(kServing)) << service;
    ASSERT_OK_AND_ASSIGN(const auto watched, caller.First(kWatch, service));
    EXPECT_EQ(watched, kServing) << service;
  }
  EXPECT_EQ(caller.Call(kCheck, ServiceNamed("no.such.Service")).status().code(),
            absl::StatusCode::kNotFound);
}

TEST_F(ConnectionTest, HealthIsNotServingOnceTheDaemonIsAskedToEnd) {
  ASSERT_OK_AND_ASSIGN(OwnNode own, OwnNode::Start("health", ""));
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(own.client(), MakePodConfig(Name())));
  ASSERT_OK_AND_ASSIGN(const std::string id, pod.RunContainer(MakeProbe("c", {"sleep"})));
  RawCaller caller(own.daemon().socket());
  ASSERT_OK(caller.Call(kCheck, ""));
  // The end waits for this call.
  std::thread call([&] { EXPECT_FALSE(own.client().Exec(id, {"/probe", "ignore-term"}, 3).ok()); });
  EXPECT_TRUE(Eventually(absl::Seconds(30), [] { return ProcessWith("ignore-term") > 0; }));
  ASSERT_EQ(kill(own.daemon().pid(), SIGTERM), 0);
  EXPECT_TRUE(Eventually(absl::Seconds(30), [&] {
    const auto health = caller.Call(kCheck, "", absl::Seconds(5));
    return health.ok() && *health == std::vector<std::string>{kNotServing};
  }));
  call.join();
  EXPECT_OK(own.daemon().Terminate());
  ASSERT_OK(own.daemon().StartAgain());
  own.Reconnect();
}

TEST_F(ConnectionTest, ThoseThatSendNothingCostFewDescriptorsAndNotForLong) {
  RaiseOwnDescriptorLimit();
  const std::string socket = node().daemon().socket();
  const size_t before = DescriptorsOf(node().daemon().pid());
  const std::vector<UniqueFd> silent = DialMany(socket, 600, "");
  ExpectAnswered(socket);
  // All were accepted: the honest one came after them.
  EXPECT_LT(DescriptorsOf(node().daemon().pid()), before + 300);
  EXPECT_TRUE(Eventually(absl::Seconds(30), [&] { return Open(silent) == 0; }));
}

TEST_F(ConnectionTest, ThoseThatSpeakSomethingElseAreClosedAtOnce) {
  const std::vector<UniqueFd> strange =
      DialMany(node().daemon().socket(), 3, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_TRUE(Eventually(absl::Seconds(30), [&] { return Open(strange) == 0; }));
}

TEST_F(ConnectionTest, OneProcessGetsAQuarterAndHalfOpenOnesAreFoundOut) {
  ASSERT_OK_AND_ASSIGN(
      OwnNode own,
      OwnNode::Start("flood", "[grpc]\nmax_connections = \"40\"\nkeepalive_seconds = \"10\"\n"));
  const std::string socket = own.daemon().socket();
  const std::vector<UniqueFd> half_open = DialMany(socket, 100, kHalfOpen);
  EXPECT_TRUE(Eventually(absl::Seconds(30), [&] { return Open(half_open) <= 10; }));
  ExpectAnswered(socket);
  EXPECT_TRUE(Eventually(absl::Seconds(60), [&] { return Open(half_open) == 0; }));
  EXPECT_OK(own.client().Call(&Runtime::Version, cri::VersionRequest()));
}

TEST_F(ConnectionTest, ThatEndMakeRoomForOthers) {
  ASSERT_OK_AND_ASSIGN(OwnNode own, OwnNode::Start("room", "[grpc]\nmax_connections = \"8\"\n"));
  for (int i = 0; i < 20; ++i) {
    Client again(own.daemon().socket());
    ASSERT_OK(again.Call(&Runtime::Version, cri::VersionRequest())) << i;
  }
}

}  // namespace
}  // namespace berth::e2e
