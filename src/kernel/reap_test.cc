#include "src/kernel/reap.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "absl/time/clock.h"

namespace berth {
namespace {

class KillAndReapTest : public testing::TestWithParam<bool> {};

TEST_P(KillAndReapTest, LeavesNoZombie) {
  const pid_t child = fork();
  if (child == 0) {
    pause();
    _exit(0);
  }
  ASSERT_GT(child, 0);
  KillAndReap(UniqueFd(static_cast<int>(syscall(SYS_pidfd_open, child, 0))), GetParam());
  while (kill(child, 0) == 0) absl::SleepFor(absl::Milliseconds(1));
  EXPECT_EQ(errno, ESRCH);
}

INSTANTIATE_TEST_SUITE_P(, KillAndReapTest, testing::Bool());

}  // namespace
}  // namespace berth
