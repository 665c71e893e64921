// The node's time is set forward and back while pods run: nothing waits by it (docs/reliability.md:
// I-02). Only where the clock is the test's own: under User-mode Linux (hack/cgroup2).
#include <time.h>

#include <thread>

#include "absl/time/clock.h"
#include "test/e2e/e2e_test.h"
#include "test/e2e/isolation.h"
#include "test/e2e/process_search.h"

namespace berth::e2e {
namespace {

class ClockTest : public E2eTest, public testing::WithParamInterface<int> {
 protected:
  void SetUp() override {
    if (!KernelIsOwn()) GTEST_SKIP() << "needs a machine whose clock may be set: hack/cgroup2";
    E2eTest::SetUp();
  }
  static void SetClockBy(int seconds) {
    timespec now = {};
    ASSERT_EQ(clock_gettime(CLOCK_REALTIME, &now), 0);
    now.tv_sec += seconds;
    ASSERT_EQ(clock_settime(CLOCK_REALTIME, &now), 0);
  }
};

TEST_P(ClockTest, I_02_JumpsHarmNeitherDeadlinesNorPods) {
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), MakePodConfig(Name())));
  ASSERT_OK_AND_ASSIGN(const std::string id, pod.RunContainer(MakeProbe("c", {"ignore-term"})));
  ASSERT_OK_AND_ASSIGN(const std::string other, pod.RunContainer(MakeProbe("d", {"sleep"})));
  absl::Status stopped, executed;
  std::thread stop([&] { stopped = client().Stop(id, 4); });
  std::thread exec([&] { executed = client().Exec(other, {"/probe", "watch"}, 4).status(); });
  EXPECT_TRUE(Eventually(absl::Seconds(30), [] { return ProcessWith("watch") > 0; }));
  ASSERT_NO_FATAL_FAILURE(SetClockBy(GetParam()));
  const auto pods = client().ListPods();
  const auto runs = client().ContainerStatus(other);
  // Had one waited by the wall clock, it would have ended at once, or not for an hour.
  stop.join();
  exec.join();
  EXPECT_OK(pods);
  ASSERT_OK(runs);
  EXPECT_EQ(runs->state(), cri::CONTAINER_RUNNING);
  EXPECT_OK(stopped);
  EXPECT_CODE(executed, kDeadlineExceeded);
  ASSERT_OK_AND_ASSIGN(const auto exit, client().ContainerStatus(id));
  EXPECT_EQ(exit.exit_code(), 137);
  ASSERT_OK_AND_ASSIGN(const auto again, client().Exec(other, {"/probe", "exit", "3"}));
  EXPECT_EQ(again.exit_code(), 3);
  EXPECT_OK(client().RemovePod(pod.id()));
  ASSERT_OK_AND_ASSIGN(const Pod next, Pod::Run(client(), MakePodConfig(Name("-next"))));
  SetClockBy(-GetParam());
}

// Records of another time are as good: what is known after a start does not depend on when it was.
TEST_P(ClockTest, I_02_StartAfterAJumpKnowsAll) {
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), MakePodConfig(Name())));
  ASSERT_OK_AND_ASSIGN(const std::string runs, pod.RunContainer(MakeProbe("r", {"sleep"})));
  ASSERT_OK_AND_ASSIGN(const std::string ends,
                       pod.RunContainer(MakeProbe("e", {"term-exit", "7"})));
  ASSERT_OK(node().daemon().Kill());
  ASSERT_NO_FATAL_FAILURE(SetClockBy(GetParam()));
  ASSERT_OK(node().daemon().StartAgain());
  node().Reconnect();
  EXPECT_OK(client().Stop(ends, 30));
  ASSERT_OK_AND_ASSIGN(const auto ended, client().ContainerStatus(ends));
  EXPECT_EQ(ended.state(), cri::CONTAINER_EXITED);
  EXPECT_EQ(ended.exit_code(), 7);
  // A kubelet compares these.
  EXPECT_LE(ended.created_at(), ended.started_at());
  EXPECT_LE(ended.started_at(), ended.finished_at());
  ASSERT_OK_AND_ASSIGN(const auto still, client().ContainerStatus(runs));
  EXPECT_EQ(still.state(), cri::CONTAINER_RUNNING);
  ASSERT_OK_AND_ASSIGN(const auto image, client().ImageStatus(node().probe_image()));
  EXPECT_TRUE(image.has_image());
  EXPECT_OK(client().Pull(node().probe_image()));
  EXPECT_OK(client().StopPod(pod.id()));
  EXPECT_OK(client().RemovePod(pod.id()));
  SetClockBy(-GetParam());
}

// A sample is of the time that it is, and a rate is over the time that went by.
TEST_P(ClockTest, I_02_StatsGoOnAfterAJump) {
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), MakePodConfig(Name())));
  ASSERT_OK_AND_ASSIGN(const std::string id, pod.RunContainer(MakeProbe("c", {"sleep"})));
  cri::ContainerStatsRequest request;
  request.set_container_id(id);
  const auto cpu = [&] {
    const auto stats = client().Call(&Runtime::ContainerStats, request);
    return stats.ok() ? stats->stats().cpu() : cri::CpuUsage();
  };
  EXPECT_TRUE(Eventually(absl::Seconds(30), [&] { return cpu().has_usage_nano_cores(); }));
  ASSERT_NO_FATAL_FAILURE(SetClockBy(GetParam()));
  EXPECT_TRUE(Eventually(absl::Seconds(30), [&] {
    const cri::CpuUsage now = cpu();
    const absl::Duration age = absl::Now() - absl::FromUnixNanos(now.timestamp());
    return absl::AbsDuration(age) < absl::Minutes(1) && now.has_usage_nano_cores();
  }));
  SetClockBy(-GetParam());
}

INSTANTIATE_TEST_SUITE_P(, ClockTest, testing::Values(3600, -7200, 86400 * 365),
                         [](const auto& info) {
                           return info.param < 0       ? std::string("Back")
                                  : info.param > 86400 ? std::string("Years")
                                                       : std::string("Forward");
                         });

}  // namespace
}  // namespace berth::e2e
