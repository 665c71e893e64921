#include "src/cli/failure.h"

#include <gtest/gtest.h>

namespace berth::cli {
namespace {

TEST(Failure, HintAndExitCodeSurviveMoreContext) {
  const absl::Status status = InContext(
      WithExitCode(WithHint(absl::NotFoundError("not found: no tag 2"), "try tag 1"), 127),
      "pull a");
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(HintOf(status), "try tag 1");
  EXPECT_EQ(ExitCodeOf(status, 1), 127);
  EXPECT_EQ(DescribeFailure(status, false),
            "berth: pull a: not found: no tag 2\nhint: try tag 1\n");
}

TEST(Failure, WithoutHintIsOneLine) {
  const absl::Status status = absl::InternalError("a\x1b[2J\nb");
  EXPECT_EQ(DescribeFailure(status, false), "berth: a[2J b\n");
  EXPECT_EQ(ExitCodeOf(status, 125), 125);
}

TEST(LaunchExitCode, TellsMissingFromNotRunnable) {
  EXPECT_EQ(LaunchExitCode(absl::UnknownError("exec /x: No such file or directory")), 127);
  EXPECT_EQ(LaunchExitCode(absl::UnknownError("exec /x: Permission denied")), 126);
  EXPECT_EQ(LaunchExitCode(absl::UnknownError("exec /x: Exec format error")), 126);
  EXPECT_EQ(LaunchExitCode(absl::InternalError("no space left")), 125);
}

}  // namespace
}  // namespace berth::cli
