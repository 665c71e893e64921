// Execs that come one after the other, whose processes a zygote of the monitor clones.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "src/kernel/file.h"
#include "src/runtime/testing/monitor_fixture.h"

namespace berth {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

// A child, held where it enters a system call.
class HeldProcess {
 public:
  explicit HeldProcess(pid_t pid) : pid_(pid) {
    EXPECT_EQ(ptrace(PTRACE_SEIZE, pid, nullptr, PTRACE_O_TRACESYSGOOD), 0);
    EXPECT_EQ(ptrace(PTRACE_INTERRUPT, pid, nullptr, nullptr), 0);
    EXPECT_EQ(waitpid(pid, nullptr, 0), pid);
  }
  HeldProcess(const HeldProcess&) = delete;
  HeldProcess& operator=(const HeldProcess&) = delete;
  ~HeldProcess() { ptrace(PTRACE_DETACH, pid_, nullptr, nullptr); }

  // False if it ends meanwhile.
  bool RunUntilItEnters(uint64_t call) const {
    while (ptrace(PTRACE_SYSCALL, pid_, nullptr, nullptr) == 0) {
      int status;
      if (waitpid(pid_, &status, 0) != pid_ || !WIFSTOPPED(status)) return false;
      __ptrace_syscall_info info = {};
      ptrace(PTRACE_GET_SYSCALL_INFO, pid_, sizeof(info), &info);
      if (info.op == PTRACE_SYSCALL_INFO_ENTRY && info.entry.nr == call) return true;
    }
    return false;
  }

 private:
  const pid_t pid_;
};

// With plans in files of their own, and in the messages of a connection that is kept.
class ZygoteTest : public MonitorTest, public testing::WithParamInterface<bool> {
 protected:
  void SetUp() override {
    MonitorTest::SetUp();
    if (GetParam())
      client_ = std::make_unique<MonitorClient>(state_, std::make_shared<IdleConnection>());
  }

  // Runs execs until there is a zygote: its pid, 0 if none comes.
  pid_t AwaitZygote(const Container& container) {
    const size_t others = Children().size();
    const absl::Time deadline = absl::Now() + kPatience;
    while (absl::Now() < deadline) {
      EXPECT_TRUE(Exec(container, "true").ok());
      OpenFds();  // a round trip: the end of the exec has been dealt with
      const std::vector<std::string> children = Children();
      pid_t pid = 0;
      if (children.size() > others && absl::SimpleAtoi(children.back(), &pid)) return pid;
    }
    return 0;
  }

  // Waits until the zygote, which is stopped, has been given an exec: the monitor has its streams.
  bool AwaitGiven(size_t fds_before) {
    const absl::Time deadline = absl::Now() + kPatience;
    while (absl::Now() < deadline) {
      if (OpenFds() >= fds_before + 2) return true;
    }
    return false;
  }

  // Waits until a child has ended that the monitor has not reaped.
  bool AwaitZombie() const {
    const absl::Time deadline = absl::Now() + kPatience;
    while (absl::Now() < deadline) {
      for (const std::string& child : Children()) {
        const absl::StatusOr<std::string> stat =
            ReadFileAt(AT_FDCWD, absl::StrCat("/proc/", child, "/stat"));
        if (stat.ok() && absl::StrContains(*stat, ") Z ")) return true;
      }
      sched_yield();
    }
    return false;
  }

  static std::string MappedSize(pid_t pid) {
    const std::string statm =
        ReadFileAt(AT_FDCWD, absl::StrCat("/proc/", pid, "/statm")).value_or("");
    return statm.substr(0, statm.find(' '));
  }
};

TEST_P(ZygoteTest, ClonesChildrenOfTheMonitorAndKeepsNothingOfThem) {
  StartMonitor();
  Container& container = StartSleeper();
  const pid_t zygote = AwaitZygote(container);
  ASSERT_GT(zygote, 0);
  const size_t fds = OpenFds();
  const std::string mapped = MappedSize(zygote);
  for (int i = 0; i < 100; ++i) {
    const absl::StatusOr<ExecSyncResult> result =
        Exec(container, "echo out; echo err >&2; cat /proc/self/cgroup | grep -c exec-; exit 9");
    ASSERT_TRUE(result.ok()) << result.status();
    ASSERT_EQ(result->exit_code, 9);
    ASSERT_EQ(result->error_output, "err\n");
    ASSERT_THAT(result->output, HasSubstr("out\n"));
  }
  EXPECT_TRUE(AwaitExecsGone(container));
  EXPECT_EQ(OpenFds(), fds);
  EXPECT_EQ(MappedSize(zygote), mapped);
  EXPECT_THAT(Children(), SizeIs(2)) << "the container and the zygote";
}

TEST_P(ZygoteTest, TellsWhatFailsBeforeTheExec) {
  StartMonitor();
  Container& container = StartSleeper();
  ASSERT_GT(AwaitZygote(container), 0);
  for (int i = 0; i < 3; ++i) {
    const LaunchPlan plan = BuildExecPlan({.args = {"nope"}});
    const absl::Status failed =
        client_->ExecSync({.container_id = container.id, .plan = &plan}).status();
    EXPECT_EQ(failed.message(), "exec: \"nope\": executable file not found in $PATH");
    const absl::StatusOr<ExecSyncResult> next = Exec(container, "exit 3");
    ASSERT_TRUE(next.ok()) << next.status();
    EXPECT_EQ(next->exit_code, 3);
  }
}

TEST_P(ZygoteTest, WhatItClonedEndsAtItsDeadlineWithAllThatItStarted) {
  StartMonitor();
  Container& container = StartSleeper();
  ASSERT_GT(AwaitZygote(container), 0);
  const absl::StatusOr<ExecSyncResult> late =
      Exec(container, "sleep 500 & sleep 500", absl::Milliseconds(300));
  EXPECT_EQ(late.status().code(), absl::StatusCode::kDeadlineExceeded) << late.status();
  EXPECT_TRUE(AwaitExecsGone(container));
}

TEST_P(ZygoteTest, OneThatIsKilledIsReplaced) {
  StartMonitor();
  Container& container = StartSleeper();
  const pid_t first = AwaitZygote(container);
  ASSERT_GT(first, 0);
  ASSERT_EQ(kill(first, SIGKILL), 0);
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(Exec(container, "true").ok());
  OpenFds();
  EXPECT_EQ(kill(first, 0), -1) << "it was reaped";
  EXPECT_THAT(Children(), SizeIs(2));
}

TEST_P(ZygoteTest, WhatIsClonedAndEndsAsTheMonitorLooksForEndsIsTold) {
  StartMonitor();
  Container& container = StartSleeper();
  const pid_t zygote = AwaitZygote(container);
  ASSERT_GT(zygote, 0);
  const size_t fds = OpenFds();
  ASSERT_EQ(kill(zygote, SIGSTOP), 0);
  absl::StatusOr<ExecSyncResult> result;
  std::thread waiting([&] { result = Exec(container, "exit 5", absl::Seconds(5)); });
  EXPECT_TRUE(AwaitGiven(fds));
  {
    const HeldProcess monitor(monitor_.pid);
    EXPECT_EQ(kill(monitor_.pid, SIGCHLD), 0);
    EXPECT_TRUE(monitor.RunUntilItEnters(SYS_waitid));
    EXPECT_EQ(kill(zygote, SIGCONT), 0);
    EXPECT_TRUE(AwaitZombie());
  }
  waiting.join();
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->exit_code, 5);
}

TEST_P(ZygoteTest, WhatItHasNotClonedEndsWithTheContainer) {
  StartMonitor();
  Container& container = StartSleeper();
  Container& other = StartSleeper();
  const pid_t zygote = AwaitZygote(container);
  ASSERT_GT(zygote, 0);
  const size_t fds = OpenFds();
  ASSERT_EQ(kill(zygote, SIGSTOP), 0);
  absl::Status given;
  std::thread waiting([&] { given = Exec(container, "true", absl::Seconds(5)).status(); });
  EXPECT_TRUE(AwaitGiven(fds));
  EXPECT_TRUE(client_->Stop(container.id, SIGKILL, absl::ZeroDuration()).ok());
  AwaitExit(container.id);
  EXPECT_TRUE(client_->Forget(container.id).ok());
  waiting.join();
  EXPECT_EQ(given.code(), absl::StatusCode::kFailedPrecondition) << given;
  const absl::StatusOr<ExecSyncResult> next = Exec(other, "exit 4");
  ASSERT_TRUE(next.ok()) << next.status();
  EXPECT_EQ(next->exit_code, 4);
}

TEST_P(ZygoteTest, WhatItClonesForNobodyAnyMoreIsKilled) {
  StartMonitor();
  Container& container = StartSleeper();
  const pid_t zygote = AwaitZygote(container);
  ASSERT_GT(zygote, 0);
  ASSERT_EQ(kill(zygote, SIGSTOP), 0);
  const LaunchPlan plan = BuildExecPlan({.args = {"sleep", "500"}, .env = {"PATH=/bin"}});
  const absl::Status given_up =
      client_
          ->ExecSync(
              {.container_id = container.id, .plan = &plan, .cancelled = [] { return true; }})
          .status();
  EXPECT_EQ(given_up.code(), absl::StatusCode::kCancelled) << given_up;
  OpenFds();  // a round trip: the end of the connection has been dealt with
  EXPECT_THAT(Leaves(container), SizeIs(1));
  ASSERT_EQ(kill(zygote, SIGCONT), 0);
  const absl::Time deadline = absl::Now() + kPatience;
  while (!Leaves(container).empty() && absl::Now() < deadline) sched_yield();
  EXPECT_THAT(Leaves(container), IsEmpty());
}

TEST_P(ZygoteTest, LargePlansAreStartedWithoutIt) {
  StartMonitor();
  Container& container = StartSleeper();
  ASSERT_GT(AwaitZygote(container), 0);
  std::vector<std::string> many = {"PATH=/bin"}, large = {"PATH=/bin"};
  for (int i = 0; i < 3000; ++i) many.push_back(absl::StrCat("V", i, "=1"));
  large.push_back("LARGE=" + std::string(100 << 10, 'x'));
  for (const std::vector<std::string>& env : {many, large}) {
    const LaunchPlan plan =
        BuildExecPlan({.args = {"sh", "-c", "env | busybox wc -c"}, .env = env});
    size_t bytes = 0;
    for (const std::string& variable : env) bytes += variable.size() + 1;
    const absl::StatusOr<ExecSyncResult> result = client_->ExecSync(
        {.container_id = container.id, .plan = &plan, .max_output_bytes = kOutput});
    ASSERT_TRUE(result.ok()) << result.status();
    size_t printed = 0;
    ASSERT_TRUE(absl::SimpleAtoi(result->output, &printed)) << result->output;
    EXPECT_GE(printed, bytes);
  }
}

TEST_P(ZygoteTest, ItsProcessesHaveTheOomScoreOfTheirPlans) {
  StartMonitor();
  Container& container = StartSleeper();
  const auto score = [&](std::optional<int> wanted) {
    ExecSpec spec = {.args = {"cat", "/proc/self/oom_score_adj"}, .env = {"PATH=/bin"}};
    spec.identity.oom_score_adj = wanted;
    const LaunchPlan plan = BuildExecPlan(spec);
    const absl::StatusOr<ExecSyncResult> result = client_->ExecSync(
        {.container_id = container.id, .plan = &plan, .max_output_bytes = kOutput});
    return result.ok() ? result->output : std::string(result.status().message());
  };
  const std::string monitors = ProcFile("oom_score_adj");
  ASSERT_GT(AwaitZygote(container), 0);
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(score(998), "998\n");
    EXPECT_EQ(score(998), "998\n");
    EXPECT_EQ(score(997), "997\n");
    EXPECT_EQ(score(std::nullopt), monitors);
  }
  EXPECT_EQ(ProcFile("oom_score_adj"), monitors);
}

// A process in a frozen cgroup never comes to its exec, and the zygote waits with it.
TEST_P(ZygoteTest, AnExecThatHangsBeforeItsExecHoldsNoOther) {
  StartMonitor();
  Container& frozen = StartSleeper();
  Container& other = StartSleeper();
  if (!frozen.handle.unified) GTEST_SKIP() << "no cgroup2 mount: nothing to freeze it by";
  ASSERT_GT(AwaitZygote(frozen), 0);
  ASSERT_TRUE(WriteFileAt(frozen.handle.directory.get(), "cgroup.freeze", "1").ok());
  absl::Status held;
  std::atomic<bool> ended = false;
  std::thread waiting([&] {
    held = Exec(frozen, "true", absl::Seconds(3)).status();
    ended = true;
  });
  while (BusyLeaves(frozen) == 0 && !ended) sched_yield();
  const absl::StatusOr<ExecSyncResult> free = Exec(other, "exit 4");
  EXPECT_FALSE(ended);
  waiting.join();
  ASSERT_TRUE(WriteFileAt(frozen.handle.directory.get(), "cgroup.freeze", "0").ok());
  EXPECT_EQ(held.code(), absl::StatusCode::kDeadlineExceeded) << held;
  ASSERT_TRUE(free.ok()) << free.status();
  EXPECT_EQ(free->exit_code, 4);
  EXPECT_TRUE(Exec(frozen, "true").ok());
}

INSTANTIATE_TEST_SUITE_P(Plans, ZygoteTest, testing::Bool(),
                         [](const testing::TestParamInfo<bool>& kind) {
                           return kind.param ? "InMessages" : "InFiles";
                         });

}  // namespace
}  // namespace berth
