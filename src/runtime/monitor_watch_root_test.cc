// Watches of the monitor whose connection holds few messages: the list that a watch begins with
// waits for room, what comes later does not.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <map>
#include <string>

#include "absl/strings/numbers.h"
#include "src/kernel/file.h"
#include "src/kernel/socket.h"
#include "src/runtime/monitor_client.h"
#include "src/runtime/monitor_messages.h"
#include "src/runtime/testing/monitor_fixture.h"

namespace berth {
namespace {

constexpr int kMore = 12;  // messages than a connection of SmallWatch holds

class MonitorWatchTest : public MonitorTest {
 protected:
  void SetUp() override {
    MonitorTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    StartMonitor();
  }
  void RunToTheEnd(int count) {
    for (int i = 0; i < count; ++i) {
      Container& container = MakeContainer();
      ASSERT_TRUE(Start(container, "exit 5").ok());
      AwaitExit(container.id);
    }
  }
  // A watch that the monitor has begun. Its end of the connection holds what the kernel's least
  // buffer does (socket(7), SO_SNDBUF).
  UniqueFd SmallWatch() {
    absl::StatusOr<UniqueFd> watch = ConnectUnix(state_ + "/monitor.sock", SOCK_SEQPACKET);
    EXPECT_TRUE(watch.ok()) << watch.status();
    if (!watch.ok()) return UniqueFd();
    EXPECT_TRUE(SendPacket(watch->get(), Message(wire::Type::kHello), {}).ok());
    EXPECT_TRUE(ReceivePacket(watch->get(), SteadyNow() + kPatience).ok());
    const std::string directory = absl::StrCat("/proc/", monitor_.pid, "/fd");
    const absl::StatusOr<std::vector<std::string>> names = ListDir(AT_FDCWD, directory);
    EXPECT_TRUE(names.ok()) << names.status();
    int small = 0;
    for (const std::string& name : names.value_or(std::vector<std::string>())) {
      int number = -1;
      EXPECT_TRUE(absl::SimpleAtoi(name, &number));
      const UniqueFd theirs(syscall(SYS_pidfd_getfd, monitor_.pidfd.get(), number, 0));
      const int least = 1;
      if (setsockopt(theirs.get(), SOL_SOCKET, SO_SNDBUF, &least, sizeof(least)) == 0) ++small;
    }
    EXPECT_GT(small, 0);
    EXPECT_TRUE(SendPacket(watch->get(), Message(wire::Type::kWatch), {}).ok());
    EXPECT_TRUE(client_->Hello(pod_plan_).ok());
    return *std::move(watch);
  }
};

TEST_F(MonitorWatchTest, AListThatIsLongerThanTheConnectionHoldsIsToldWhole) {
  ASSERT_NO_FATAL_FAILURE(RunToTheEnd(kMore));
  Container& running = StartSleeper();
  Container& ends = StartSleeper();
  const UniqueFd watch = SmallWatch();
  ASSERT_TRUE(watch.valid());
  ASSERT_TRUE(client_->Stop(ends.id, SIGKILL, absl::ZeroDuration()).ok());
  AwaitExit(ends.id);
  std::map<std::string, WatchEvent> last;
  while (const std::optional<WatchEvent> event = NextEvent(watch))
    last[event->container_id] = *event;
  ASSERT_EQ(last.size(), kMore + 2u);
  for (const auto& [id, event] : last) {
    EXPECT_EQ(event.running, id == running.id) << id;
    EXPECT_EQ(event.exit_code, id == running.id ? 0 : id == ends.id ? 128 + SIGKILL : 5) << id;
  }
  ASSERT_TRUE(client_->Stop(running.id, SIGKILL, absl::ZeroDuration()).ok());
  const std::optional<WatchEvent> later = NextEvent(watch);
  ASSERT_TRUE(later.has_value());
  EXPECT_EQ(later->container_id, running.id);
  EXPECT_FALSE(later->running);
}

TEST_F(MonitorWatchTest, OneThatEndsInItsListLeavesNoDescriptor) {
  ASSERT_NO_FATAL_FAILURE(RunToTheEnd(kMore));
  const size_t before = OpenFds();
  UniqueFd watch = SmallWatch();
  ASSERT_TRUE(watch.valid());
  watch.reset();
  EXPECT_EQ(OpenFds(), before);
  EXPECT_EQ(Replay().size(), static_cast<size_t>(kMore));
}

TEST_F(MonitorWatchTest, OneThatDoesNotReadWhatComesLaterIsHungUpOn) {
  const UniqueFd watch = SmallWatch();
  ASSERT_TRUE(watch.valid());
  ASSERT_NO_FATAL_FAILURE(RunToTheEnd(kMore));
  int told = 0;
  absl::Status ended;
  while (ended.ok()) {
    ended = ReceivePacket(watch.get(), SteadyNow() + kPatience).status();
    if (ended.ok()) ++told;
  }
  EXPECT_EQ(ended.code(), absl::StatusCode::kUnavailable) << ended;
  EXPECT_LT(told, kMore);
  EXPECT_EQ(Replay().size(), static_cast<size_t>(kMore));
}

}  // namespace
}  // namespace berth
