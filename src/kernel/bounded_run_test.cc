#include "src/kernel/bounded_run.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "absl/strings/numbers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/base/unique_fd.h"

namespace berth {
namespace {

using ::testing::HasSubstr;

BoundedRun Shell(const std::string& script) {
  return {.path = "/bin/sh",
          .argv = {"sh", "-c", script},
          .env = {"PATH=/usr/bin:/bin"},
          .deadline = absl::Seconds(60)};
}

TEST(RunBounded, GivesInputAndTakesOutputAndExitCode) {
  BoundedRun run = Shell("cat; exit 3");
  run.input = std::string(300000, 'x');
  run.max_output = 300000;
  const auto result = RunBounded(run);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->exit_code, 3);
  EXPECT_EQ(result->output, run.input);
}

TEST(RunBounded, DoesSomethingMeanwhile) {
  const std::string path = testing::TempDir() + "/meanwhile";
  std::filesystem::remove(path);
  BoundedRun run = Shell("read line; until [ -e " + path + " ]; do sleep 0.01; done; echo $line");
  run.input = "both\n";
  run.meanwhile = [&] { std::ofstream(path) << ""; };
  const auto result = RunBounded(run);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->output, "both\n");
  std::filesystem::remove(path);
}

TEST(RunBounded, InheritsNoEnvironment) {
  ASSERT_EQ(::setenv("BERTH_SECRET", "x", 1), 0);
  const auto result = RunBounded(Shell("echo \"<$BERTH_SECRET>\""));
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->output, "<>\n");
}

TEST(RunBounded, EndsAProgramThatDoesNotRead) {
  BoundedRun run = Shell("exit 0");
  run.input = std::string(1 << 20, 'x');
  const auto result = RunBounded(run);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->exit_code, 0);
}

TEST(RunBounded, TellsTheSignal) {
  const auto result = RunBounded(Shell("kill -9 $$"));
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->exit_code, 128 + SIGKILL);
}

TEST(RunBounded, EndsAtItsDeadline) {
  BoundedRun run = Shell("sleep 1000");
  run.deadline = absl::Milliseconds(50);
  EXPECT_TRUE(absl::IsDeadlineExceeded(RunBounded(run).status()));
}

TEST(RunBounded, EndsWhenCancelled) {
  BoundedRun run = Shell("sleep 1000");
  run.cancelled = [] { return true; };
  EXPECT_TRUE(absl::IsCancelled(RunBounded(run).status()));
}

TEST(RunBounded, BoundsTheOutput) {
  BoundedRun run = Shell("cat /dev/zero");
  run.max_output = 1000;
  EXPECT_TRUE(absl::IsResourceExhausted(RunBounded(run).status()));
}

TEST(RunBounded, DoesNotWaitForWhatTheProgramLeftAndKillsIt) {
  const auto result = RunBounded(Shell("sleep 1000 & echo $!"));
  ASSERT_TRUE(result.ok()) << result.status();
  int pid = 0;
  ASSERT_TRUE(absl::SimpleAtoi(result->output, &pid));
  const UniqueFd left(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (!left.valid()) return;  // gone and reaped
  pollfd ended = {.fd = left.get(), .events = POLLIN, .revents = 0};
  EXPECT_EQ(::poll(&ended, 1, 60'000), 1) << "still running";
}

TEST(RunBounded, NamesAProgramThatIsNotThere) {
  const auto result = RunBounded({.path = "/nonexistent/x", .argv = {"x"}});
  EXPECT_TRUE(absl::IsNotFound(result.status())) << result.status();
  EXPECT_THAT(std::string(result.status().message()), HasSubstr("/nonexistent/x"));
}

}  // namespace
}  // namespace berth
