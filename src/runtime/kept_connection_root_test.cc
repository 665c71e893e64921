// The connection to a monitor that one request leaves to the next.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <memory>
#include <thread>
#include <vector>

#include "src/runtime/testing/monitor_fixture.h"

namespace berth {
namespace {

using ::testing::HasSubstr;

class KeptConnectionTest : public MonitorTest {
 protected:
  void SetUp() override {
    MonitorTest::SetUp();
    client_ = std::make_unique<MonitorClient>(state_, idle_);
  }

  // Which socket is kept; 0: none.
  ino_t Kept() {
    UniqueFd connection = idle_->Take();
    struct stat info = {};
    EXPECT_EQ(connection.valid(), fstat(connection.get(), &info) == 0);
    idle_->Put(std::move(connection));
    return info.st_ino;
  }

  const std::shared_ptr<IdleConnection> idle_ = std::make_shared<IdleConnection>();
};

TEST_F(KeptConnectionTest, ServesRequestAfterRequest) {
  StartMonitor();
  ASSERT_TRUE(client_->LimitLogs({}).ok());
  const ino_t first = Kept();
  EXPECT_NE(first, 0u);
  Container& container = StartSleeper();
  for (int i = 0; i < 20; ++i) {
    const absl::StatusOr<ExecSyncResult> result = Exec(container, absl::StrCat("echo ", i));
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_EQ(result->output, absl::StrCat(i, "\n"));
  }
  EXPECT_TRUE(client_->Stop(container.id, SIGKILL, absl::ZeroDuration()).ok());
  EXPECT_EQ(Kept(), first);
  AwaitExit(container.id);
  EXPECT_TRUE(client_->Forget(container.id).ok());
}

TEST_F(KeptConnectionTest, TheOneThatBroughtThePodBecomesTheWatch) {
  StartMonitor();
  EXPECT_NE(Kept(), 0u);
  const absl::StatusOr<UniqueFd> watch = client_->Watch();
  ASSERT_TRUE(watch.ok()) << watch.status();
  EXPECT_EQ(Kept(), 0u);
}

TEST_F(KeptConnectionTest, RequestsAtTheSameTimeHaveTheirOwnAndOneIsKept) {
  StartMonitor();
  Container& container = StartSleeper();
  ASSERT_TRUE(Exec(container, "true").ok());
  const size_t fds = OpenFds();
  std::vector<std::thread> callers;
  for (int caller = 0; caller < 4; ++caller) {
    callers.emplace_back([this, &container, caller] {
      for (int i = 0; i < 10; ++i) {
        const absl::StatusOr<ExecSyncResult> result =
            Exec(container, absl::StrCat("echo ", caller, " ", i));
        ASSERT_TRUE(result.ok()) << result.status();
        EXPECT_EQ(result->output, absl::StrCat(caller, " ", i, "\n"));
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_TRUE(AwaitExecsGone(container));
  ASSERT_TRUE(Exec(container, "true").ok());  // leaves one, whatever theirs have left
  EXPECT_EQ(OpenFds(), fds);
}

TEST_F(KeptConnectionTest, IsClosedOverWhatAnExecLeftRunning) {
  StartMonitor();
  Container& container = StartSleeper();
  ASSERT_TRUE(Exec(container, "true").ok());
  EXPECT_NE(Kept(), 0u);
  ASSERT_TRUE(Exec(container, "sleep 500 >/dev/null 2>&1 &").ok());
  EXPECT_EQ(Kept(), 0u);
  EXPECT_TRUE(AwaitExecsGone(container));
}

TEST_F(KeptConnectionTest, IsMadeAnewAfterTheMonitorsEnd) {
  StartMonitor();
  ASSERT_TRUE(client_->LimitLogs({}).ok());
  const ino_t first = Kept();
  EndMonitor();
  const absl::Status gone = client_->LimitLogs({});
  EXPECT_EQ(gone.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(gone.message(), HasSubstr("monitor is gone"));
  EXPECT_EQ(Kept(), 0u);
  std::filesystem::remove_all(state_);
  StartMonitor();
  ASSERT_TRUE(client_->LimitLogs({}).ok());
  EndMonitor();
  std::filesystem::remove_all(state_);
  StartMonitor();
  EXPECT_TRUE(client_->LimitLogs({}).ok()) << "the one before is closed";
  EXPECT_NE(Kept(), first);
}

TEST_F(KeptConnectionTest, APlanThatTheSocketDoesNotTakeGoesInAFile) {
  StartMonitor();
  Container& container = StartSleeper();
  ASSERT_TRUE(Exec(container, "true").ok());  // tells that the monitor takes plans in messages
  const ino_t first = Kept();
  UniqueFd connection = idle_->Take();
  const int least = 0;
  ASSERT_EQ(setsockopt(connection.get(), SOL_SOCKET, SO_SNDBUF, &least, sizeof(least)), 0);
  idle_->Put(std::move(connection));
  const absl::StatusOr<ExecSyncResult> result =
      Exec(container, absl::StrCat("echo done #", std::string(16 << 10, 'x')));
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->output, "done\n");
  EXPECT_EQ(Kept(), first) << "it took the message without the plan";
}

// An answer that is late must not be taken for that of the next request.
TEST_F(KeptConnectionTest, IsClosedWithoutAnAnswerInTime) {
  StartMonitor();
  Container& container = StartSleeper();
  ASSERT_EQ(kill(monitor_.pid, SIGSTOP), 0);
  EXPECT_EQ(client_->Stop(NewId(), SIGTERM, absl::Seconds(1), absl::Milliseconds(50)).code(),
            absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(Kept(), 0u);
  ASSERT_EQ(kill(monitor_.pid, SIGCONT), 0);
  const absl::StatusOr<ExecSyncResult> result = Exec(container, "exit 6");
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->exit_code, 6);
}

}  // namespace
}  // namespace berth
