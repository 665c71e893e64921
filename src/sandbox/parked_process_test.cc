#include "src/sandbox/parked_process.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include <gtest/gtest.h>

namespace berth {
namespace {

// Any program does: one that has ended is still there until it is reaped.
UniqueFd Program() { return UniqueFd(::open("/bin/true", O_PATH | O_CLOEXEC)); }

bool Exists(pid_t pid) { return ::kill(pid, 0) == 0 || errno != ESRCH; }

TEST(ParkedProcess, IsReapedWhenItEnds) {
  const UniqueFd executable = Program();
  auto parked = ParkedProcess::Start(executable.get());
  ASSERT_TRUE(parked.ok()) << parked.status();
  const pid_t pid = parked->pid();
  ASSERT_TRUE(Exists(pid)) << "running, or not reaped";
  parked->End();
  EXPECT_FALSE(Exists(pid));
  parked->End();
}

TEST(ParkedProcess, MoveOntoALiveOneEndsThat) {
  const UniqueFd executable = Program();
  auto first = ParkedProcess::Start(executable.get());
  auto second = ParkedProcess::Start(executable.get());
  ASSERT_TRUE(first.ok() && second.ok());
  const pid_t gone = first->pid(), kept = second->pid();
  *first = *std::move(second);
  EXPECT_FALSE(Exists(gone));
  EXPECT_TRUE(Exists(kept));
  EXPECT_EQ(first->pid(), kept);
}

}  // namespace
}  // namespace berth
