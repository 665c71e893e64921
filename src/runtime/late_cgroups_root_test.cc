// Starts whose v1 cgroups are made while their plans are carried out.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <memory>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "src/runtime/testing/monitor_fixture.h"

namespace berth {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;

class LateCgroupsTest : public MonitorTest {
 protected:
  void SetUp() override {
    MonitorTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    if (cgroups_->mode() != Cgroups::Mode::kHybrid)
      GTEST_SKIP() << "there are no v1 controllers beside cgroup2";
    client_ = std::make_unique<MonitorClient>(state_, std::make_shared<IdleConnection>());
    ASSERT_FALSE(client_->IsOfThisVersion());
    StartMonitor();
    ASSERT_TRUE(client_->IsOfThisVersion());
  }

  Container& MakeLateContainer() {
    Container& container = MakeContainer();
    container.handle = {};
    EXPECT_TRUE(cgroups_->Remove(container.cgroup).ok());
    EXPECT_TRUE(cgroups_->CreateNew(container.cgroup, Cgroups::Part::kCgroup2).ok());
    absl::StatusOr<CgroupHandle> handle = cgroups_->Open(container.cgroup, Cgroups::Part::kCgroup2);
    EXPECT_TRUE(handle.ok() && handle->unified && handle->tasks.empty()) << handle.status();
    if (handle.ok()) container.handle = *std::move(handle);
    return container;
  }

  absl::StatusOr<StartRest> Make(const Container& container, int log = -1) const {
    EXPECT_TRUE(cgroups_->CreateNew(container.cgroup, Cgroups::Part::kV1).ok());
    absl::StatusOr<CgroupHandle> handle = cgroups_->Open(container.cgroup, Cgroups::Part::kV1);
    absl::StatusOr<std::vector<UniqueFd>> views = cgroups_->OpenViews(container.cgroup);
    EXPECT_TRUE(handle.ok() && views.ok()) << handle.status() << views.status();
    if (!handle.ok() || !views.ok()) return absl::InternalError("cgroups of the test");
    EXPECT_FALSE(handle->directory.valid());
    return StartRest{.cgroups = *std::move(handle),
                     .views = *std::move(views),
                     .log = UniqueFd(log < 0 ? -1 : fcntl(log, F_DUPFD_CLOEXEC, 3))};
  }

  LaunchPlan PlanOf(const ContainerSpec& spec) const {
    return BuildContainerPlan(spec, Facts(), {.late_cgroups = true});
  }
  LaunchPlan PlanOf(const Container& container, const std::string& script) const {
    ContainerSpec spec = MakeSpec(container, {"sh", "-c", script});
    spec.namespaces.private_cgroup = true;
    return PlanOf(spec);
  }

  static std::vector<std::string> CgroupsOf(pid_t pid) {
    const std::string text =
        ReadFileAt(AT_FDCWD, absl::StrCat("/proc/", pid, "/cgroup")).value_or("");
    return absl::StrSplit(text, '\n', absl::SkipEmpty());
  }

  bool AwaitNoChildren() const {
    const absl::Time deadline = SteadyNow() + kPatience;
    while (!Children().empty() && SteadyNow() < deadline) sched_yield();
    return Children().empty();
  }
};

TEST_F(LateCgroupsTest, WhatIsStartedIsInAllOfThemAndSeesThem) {
  Container& container = MakeLateContainer();
  Pipe log;
  const absl::StatusOr<pid_t> pid = StartPlan(
      container, PlanOf(container, "grep -x 1 /sys/fs/cgroup/pids/tasks && echo there; sleep 1000"),
      {.make_rest = [&] { return Make(container, log.write.get()); }});
  ASSERT_TRUE(pid.ok()) << pid.status();
  EXPECT_THAT(log.Await("there"), HasSubstr("there"));
  EXPECT_THAT(CgroupsOf(*pid), testing::Each(EndsWith(container.cgroup)));
  EXPECT_EQ(CgroupsOf(*pid).size(), cgroups_->V1Hierarchies().size() + 1);
  const absl::StatusOr<ExecSyncResult> exec = Exec(container, "cat /proc/self/cgroup");
  ASSERT_TRUE(exec.ok()) << exec.status();
  for (absl::string_view line : absl::StrSplit(exec->output, '\n', absl::SkipEmpty())) {
    if (!absl::StartsWith(line, "0::")) {
      EXPECT_THAT(std::string(line), EndsWith(":/"));
    }
  }
}

TEST_F(LateCgroupsTest, WhatCannotBeMadeEndsTheStart) {
  Container& container = MakeLateContainer();
  const absl::Status failed =
      StartPlan(container, PlanOf(container, "true"),
                {.make_rest =
                     [] {
                       return absl::StatusOr<StartRest>(absl::ResourceExhaustedError("no cgroups"));
                     }})
          .status();
  EXPECT_EQ(failed, absl::ResourceExhaustedError("no cgroups"));
  EXPECT_TRUE(Children().empty());
  EXPECT_EQ(Replay().size(), 0u);
}

TEST_F(LateCgroupsTest, APlanThatFailsBeforeIsNamedAndLeavesTheConnectionFit) {
  Container& broken = MakeLateContainer();
  ContainerSpec spec = MakeSpec(broken, {"true"});
  spec.layers = {"layers/none"};
  const absl::Status failed = StartPlan(broken, PlanOf(spec),
                                        {.make_rest =
                                             [&] {
                                               EXPECT_TRUE(AwaitNoChildren());
                                               return Make(broken);
                                             }})
                                  .status();
  EXPECT_THAT(std::string(failed.message()), HasSubstr("layers/none"));
  Container& container = MakeLateContainer();
  const absl::StatusOr<pid_t> pid = StartPlan(container, PlanOf(container, "exit 3"),
                                              {.make_rest = [&] { return Make(container); }});
  ASSERT_TRUE(pid.ok()) << pid.status();
  EXPECT_EQ(AwaitExit(container.id).exit_code, 3);
}

TEST_F(LateCgroupsTest, NobodyWaitsForARequesterThatHasDied) {
  Container& container = MakeLateContainer();
  const LaunchPlan plan = PlanOf(container, "sleep 1000");
  const pid_t requester = fork();
  ASSERT_GE(requester, 0);
  if (requester == 0) {
    const MonitorClient client(state_);
    client
        .Start({.container_id = container.id,
                .plan = &plan,
                .cgroup = &container.handle,
                .make_rest = [&]() -> absl::StatusOr<StartRest> {
                  while (Children().empty()) sched_yield();
                  _exit(0);
                }})
        .IgnoreError();
    _exit(1);
  }
  int status = -1;
  ASSERT_EQ(waitpid(requester, &status, 0), requester);
  EXPECT_EQ(status, 0);
  EXPECT_TRUE(AwaitNoChildren());
  EXPECT_EQ(Replay().size(), 0u);
}

}  // namespace
}  // namespace berth
