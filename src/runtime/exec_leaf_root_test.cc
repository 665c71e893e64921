// The cgroups of execs on a node without cgroup2, where processes join theirs themselves.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_split.h"
#include "src/kernel/cgroup.h"
#include "src/kernel/file.h"
#include "src/kernel/testing/without_cgroup2.h"
#include "src/runtime/testing/monitor_fixture.h"

namespace berth {
namespace {

using ::testing::UnorderedElementsAreArray;

class ExecLeafTest : public MonitorTest {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "needs root: namespaces, mounts and cgroups";
    without_cgroup2_.emplace();
    if (!Cgroups::Detect().ok()) GTEST_SKIP() << "this node has cgroup2 alone";
    MonitorTest::SetUp();
  }
  void TearDown() override {
    MonitorTest::TearDown();
    without_cgroup2_.reset();
  }

  // Those of the container itself: the execs' are in cgroups below.
  static std::vector<std::string> Processes(const Container& container) {
    return absl::StrSplit(
        ReadFileAt(container.handle.directory.get(), "cgroup.procs").value_or("unreadable"), '\n',
        absl::SkipEmpty());
  }

 private:
  std::optional<WithoutCgroup2> without_cgroup2_;
};

TEST_F(ExecLeafTest, HoldsAllThatAnExecStarts) {
  StartMonitor();
  Container& container = StartSleeper();
  const std::vector<std::string> before = Processes(container);
  const absl::StatusOr<ExecSyncResult> where =
      Exec(container, "cat /proc/self/cgroup | grep -c exec-");
  ASSERT_TRUE(where.ok()) << where.status();
  EXPECT_EQ(where->output, "1\n");
  const absl::StatusOr<ExecSyncResult> late =
      Exec(container, "sleep 500 & sleep 500", absl::Milliseconds(300));
  EXPECT_EQ(late.status().code(), absl::StatusCode::kDeadlineExceeded) << late.status();
  EXPECT_TRUE(AwaitExecsGone(container));
  EXPECT_THAT(Processes(container), UnorderedElementsAreArray(before));
}

}  // namespace
}  // namespace berth
