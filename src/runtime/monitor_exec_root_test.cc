// Execs in the containers of a monitor.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>

#include <string>

#include "src/kernel/cgroup.h"
#include "src/kernel/process.h"
#include "src/runtime/container_plan.h"
#include "src/runtime/monitor_client.h"
#include "src/runtime/testing/monitor_fixture.h"

namespace berth {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

TEST_F(MonitorTest, ExecGivesBothOutputsAndTheCode) {
  StartMonitor();
  Container& container = StartSleeper();
  const absl::StatusOr<ExecSyncResult> result = Exec(container, "echo out; echo err >&2; exit 9");
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->output, "out\n");
  EXPECT_EQ(result->error_output, "err\n");
  EXPECT_EQ(result->exit_code, 9);
  const absl::StatusOr<ExecSyncResult> killed = Exec(container, "kill -TERM $$");
  ASSERT_TRUE(killed.ok());
  EXPECT_EQ(killed->exit_code, 128 + SIGTERM);
}

TEST_F(MonitorTest, ExecRunsInsideOfTheContainersNamespaces) {
  StartMonitor();
  Container& container = StartSleeper("echo mine > /mine");
  const absl::StatusOr<ExecSyncResult> result =
      Exec(container, "cat /mine /proc/1/comm; cat /proc/self/cgroup");
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_THAT(result->output,
              AllOf(HasSubstr("mine\nsh\n"), HasSubstr("/exec-"), Not(HasSubstr(container.id))));
}

TEST_F(MonitorTest, ExecThatTimesOutIsKilledWithAllItStarted) {
  StartMonitor();
  Container& container = StartSleeper();
  const absl::StatusOr<ExecSyncResult> result = Exec(
      container, "busybox setsid sleep 500 & (sleep 501 &) ; sleep 502", absl::Milliseconds(200));
  EXPECT_EQ(result.status().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_TRUE(AwaitExecsGone(container));  // a cgroup with a process in it cannot go
  const absl::StatusOr<ExecSyncResult> left = Exec(container, "busybox ps -o args");
  ASSERT_TRUE(left.ok());
  EXPECT_THAT(left->output, Not(HasSubstr("sleep 50")));
  EXPECT_FALSE(ReadExitRecord(state_, container.id).ok()) << "the container goes on";
}

TEST_F(MonitorTest, ExecDoesNotWaitForWhatItLeftRunning) {
  StartMonitor();
  Container& container = StartSleeper();
  const absl::StatusOr<ExecSyncResult> result = Exec(container, "sleep 500 & echo done");
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->output, "done\n");
  EXPECT_TRUE(AwaitExecsGone(container)) << "and does not leave it behind";
}

TEST_F(MonitorTest, ExecKeepsNoMoreOutputThanAskedFor) {
  StartMonitor();
  Container& container = StartSleeper();
  const absl::StatusOr<ExecSyncResult> result =
      Exec(container, "dd if=/dev/zero bs=1024 count=4096 2>/dev/null; echo tail >&2",
           absl::ZeroDuration(), 1000);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->output.size() + result->error_output.size(), 1000u);
  EXPECT_EQ(result->exit_code, 0);
}

TEST_F(MonitorTest, ExecOfACallerThatIsGoneIsKilled) {
  StartMonitor();
  Container& container = StartSleeper();
  const LaunchPlan plan = BuildExecPlan({.args = {"sleep", "500"}, .env = {"PATH=/bin"}});
  const absl::StatusOr<ExecSyncResult> result = client_->ExecSync(
      {.container_id = container.id, .plan = &plan, .max_output_bytes = kOutput, .cancelled = [] {
         return true;
       }});
  EXPECT_EQ(result.status().code(), absl::StatusCode::kCancelled);
  EXPECT_TRUE(AwaitExecsGone(container));
}

TEST_F(MonitorTest, ExecNamesWhatItCannotRun) {
  StartMonitor();
  Container& container = StartSleeper();
  const LaunchPlan plan = BuildExecPlan({.args = {"nope"}});
  const absl::Status failed =
      client_->ExecSync({.container_id = container.id, .plan = &plan}).status();
  EXPECT_EQ(failed.message(), "exec: \"nope\": executable file not found in $PATH");
  EXPECT_TRUE(AwaitExecsGone(container));
  Container unknown;
  unknown.handle = *cgroups_->Open(container.cgroup);
  EXPECT_EQ(Exec(unknown, "true").status().code(), absl::StatusCode::kNotFound);
}

TEST_F(MonitorTest, LeaksNothingOverTwoHundredExecs) {
  StartMonitor();
  Container& container = StartSleeper();
  ASSERT_TRUE(Exec(container, "true").ok());
  ASSERT_TRUE(AwaitExecsGone(container));
  const size_t before = OpenFds();
  for (int i = 0; i < 200; ++i) {
    const absl::StatusOr<ExecSyncResult> result = Exec(container, "exit 1");
    ASSERT_TRUE(result.ok()) << result.status();
    ASSERT_EQ(result->exit_code, 1);
  }
  EXPECT_TRUE(AwaitExecsGone(container));
  EXPECT_EQ(OpenFds(), before);
  EXPECT_EQ(Children().size(), 2u) << "the container itself, and what starts its execs";
  // The budget of an idle pod, with room for a machine of other page sizes.
  const std::string rollup = ProcFile("smaps_rollup");
  int pss_kib = 0;
  ASSERT_EQ(sscanf(rollup.c_str() + rollup.find("Pss:"), "Pss: %d", &pss_kib), 1) << rollup;
  RecordProperty("pss_kib", pss_kib);
  EXPECT_LE(pss_kib, 256);
}

}  // namespace
}  // namespace berth
