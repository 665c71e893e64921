#include "src/server/notify.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "src/server/fake_notify_socket.h"

namespace berth {
namespace {

using testing::ElementsAre;
using testing::MatchesRegex;

class WatchdogPatienceTest : public testing::Test {
 protected:
  ~WatchdogPatienceTest() override {
    ::unsetenv("WATCHDOG_USEC");
    ::unsetenv("WATCHDOG_PID");
  }
};

TEST(NotifyServiceManager, SendsOneDatagramForEachState) {
  FakeNotifySocket manager;
  NotifyServiceManager("READY=1");
  NotifyServiceManager("STOPPING=1");
  EXPECT_THAT(manager.Received(), ElementsAre("READY=1", "STOPPING=1"));
}

TEST(NotifyReloading, SaysWhenTheReloadBegan) {
  FakeNotifySocket manager;
  NotifyReloading();
  EXPECT_THAT(manager.Received(), ElementsAre(MatchesRegex("RELOADING=1\nMONOTONIC_USEC=[0-9]+")));
}

TEST_F(WatchdogPatienceTest, IsWhatTheManagerSays) {
  ::setenv("WATCHDOG_USEC", "60000000", 1);
  EXPECT_EQ(WatchdogPatience(), absl::Seconds(60));
  ::setenv("WATCHDOG_PID", std::to_string(::getpid()).c_str(), 1);
  EXPECT_EQ(WatchdogPatience(), absl::Seconds(60));
}

TEST_F(WatchdogPatienceTest, IsInfiniteWhereNobodyWatchesThisProcess) {
  EXPECT_EQ(WatchdogPatience(), absl::InfiniteDuration());
  ::setenv("WATCHDOG_USEC", "soon", 1);
  EXPECT_EQ(WatchdogPatience(), absl::InfiniteDuration());
  ::setenv("WATCHDOG_USEC", "60000000", 1);
  ::setenv("WATCHDOG_PID", "1", 1);
  EXPECT_EQ(WatchdogPatience(), absl::InfiniteDuration());
}

}  // namespace
}  // namespace berth
