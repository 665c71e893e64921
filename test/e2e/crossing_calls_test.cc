// Calls for one pod that cross each other: each is held at a point of its own while the other comes
// to its end.
#include <gmock/gmock.h>
#include <signal.h>

#include <algorithm>
#include <thread>

#include "test/e2e/berth_command.h"
#include "test/e2e/failpoint_test.h"
#include "test/e2e/monitor_process.h"

namespace berth::e2e {
namespace {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::Not;

class CrossingCallsTest : public FailpointTest {
 protected:
  static constexpr absl::Duration kPatience = absl::Seconds(30);
  static constexpr int kHeldMs = 2000;  // what the other call has to come to its end

  // Begins `call`, which is held when it comes to `point`; returns once it is there.
  template <typename Call>
  std::thread Hold(const char* point, Call call) {
    FailpointFiles::Arm({.point = point, .kind = "delay", .value = kHeldMs});
    std::thread caller([this, call] {
      Client own(daemon().socket());
      call(own);
    });
    EXPECT_TRUE(Eventually(kPatience, [] { return FailpointFiles::HasStruck(); })) << point;
    return caller;
  }
};

TEST_F(CrossingCallsTest, StopOfThePodStopsWhatIsBeingStarted) {
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(berth(), MakePodConfig(Name())));
  ASSERT_OK_AND_ASSIGN(const std::string id, pod.Create(MakeProbe("c", {"sleep"})));
  std::thread start =
      Hold("start_container.launch", [&](Client& own) { own.Start(id).IgnoreError(); });
  EXPECT_OK(berth().StopPod(pod.id()));
  const auto status = berth().ContainerStatus(id);
  start.join();
  ASSERT_OK(status);
  EXPECT_EQ(status->state(), cri::CONTAINER_EXITED) << "when the stop was answered";
}

TEST_F(CrossingCallsTest, NothingIsCreatedInAPodThatIsStoppedMeanwhile) {
  const cri::PodSandboxConfig config = MakePodConfig(Name());
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(berth(), config));
  absl::Status created;
  std::thread create = Hold("create_container.record", [&](Client& own) {
    created = own.Create(pod.id(), MakeProbe("c", {"sleep"}), config).status();
  });
  EXPECT_OK(berth().StopPod(pod.id()));
  create.join();
  EXPECT_CODE(created, kFailedPrecondition);
  EXPECT_THAT(std::string(created.message()), HasSubstr(pod.id()));
}

TEST_F(CrossingCallsTest, CreateInAPodThatIsRemovedMeanwhileNamesThePod) {
  const cri::PodSandboxConfig config = MakePodConfig(Name());
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(berth(), config));
  absl::Status created;
  std::thread create = Hold("create_container.record", [&](Client& own) {
    created = own.Create(pod.id(), MakeProbe("c", {"sleep"}), config).status();
  });
  EXPECT_OK(berth().RemovePod(pod.id()));
  create.join();
  EXPECT_CODE(created, kNotFound);
  EXPECT_THAT(std::string(created.message()), HasSubstr(pod.id()));
}

// The monitor has forgotten the container when the stop asks for its end: that is no monitor that
// hangs, and how the others end is not lost.
TEST_F(CrossingCallsTest, RemovalOfAContainerWhileItsPodIsStopped) {
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(berth(), MakePodConfig(Name())));
  ASSERT_OK_AND_ASSIGN(std::string first, pod.RunContainer(MakeProbe("c", {"sleep"})));
  ASSERT_OK_AND_ASSIGN(std::string other, pod.RunContainer(MakeProbe("d", {"sleep"})));
  if (first > other) std::swap(first, other);  // the order in which they are stopped
  absl::Status stopped;
  std::thread stop =
      Hold("stop_container.signal", [&](Client& own) { stopped = own.StopPod(pod.id()); });
  EXPECT_OK(berth().Remove(first));
  stop.join();
  EXPECT_OK(stopped);
  ASSERT_OK_AND_ASSIGN(const auto status, berth().ContainerStatus(other));
  EXPECT_EQ(status.reason(), "Error") << status.message();
  EXPECT_EQ(status.exit_code(), 137);
  EXPECT_THAT(daemon().Log(), Not(HasSubstr("does not answer")));
}

// The daemon goes on asking two monitors that did not answer when it started. While it is held at
// one, a stop reads the other, which it then need not ask any more.
TEST_F(CrossingCallsTest, StopOfAPodWhoseMonitorIsReadLate) {
  ASSERT_OK_AND_ASSIGN(Pod one, Pod::Run(berth(), MakePodConfig(Name("-one"))));
  ASSERT_OK_AND_ASSIGN(Pod two, Pod::Run(berth(), MakePodConfig(Name("-two"))));
  const pid_t monitors[] = {MonitorOf(one.id()), MonitorOf(two.id())};
  ASSERT_OK(daemon().Kill());
  for (const pid_t monitor : monitors) ASSERT_EQ(kill(monitor, SIGSTOP), 0);
  StartAgain();
  FailpointFiles::Arm({.point = "recover.hello", .kind = "delay", .value = kHeldMs});
  EXPECT_TRUE(Eventually(kPatience, [] { return FailpointFiles::HasStruck(); }));
  for (const pid_t monitor : monitors) ASSERT_EQ(kill(monitor, SIGCONT), 0);
  std::thread other([&] {
    Client own(daemon().socket());
    EXPECT_OK(own.StopPod(one.id()));
  });
  EXPECT_OK(berth().StopPod(two.id()));
  other.join();
  EXPECT_OK(berth().RemovePod(one.id()));
  EXPECT_OK(berth().RemovePod(two.id()));
  const std::string log = daemon().Log();
  EXPECT_THAT(log, Not(HasSubstr("monitor of a pod is gone")));
  EXPECT_LE(FailpointFiles::Hits().count("recover.watch"), 2u) << "one was read twice";
}

// The monitor has the pod's user namespace: what was started without it would be the node's root.
TEST_F(CrossingCallsTest, NothingStartsInAPodBeforeItsMonitorIsRead) {
  const auto map = [](cri::UserNamespace* user) {
    user->set_mode(cri::POD);
    for (cri::IDMapping* mapping : {user->add_uids(), user->add_gids()}) {
      mapping->set_host_id(1114112);
      mapping->set_length(65536);
    }
  };
  cri::PodSandboxConfig config = MakePodConfig(Name());
  map(NamespaceOptions(config)->mutable_userns_options());
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(berth(), config));
  const pid_t monitor = MonitorOf(pod.id());
  ASSERT_OK(daemon().Kill());
  ASSERT_EQ(kill(monitor, SIGSTOP), 0);
  StartAgain();
  cri::ContainerConfig container = MakeProbe("c", {"sleep"});
  NamespaceOptions(container)->set_pid(cri::CONTAINER);
  map(NamespaceOptions(container)->mutable_userns_options());
  ASSERT_OK_AND_ASSIGN(const std::string id, pod.Create(container));
  FailpointFiles::Arm({.point = "recover.watch", .kind = "delay", .value = kHeldMs});
  ASSERT_EQ(kill(monitor, SIGCONT), 0);
  EXPECT_TRUE(Eventually(kPatience, [] { return FailpointFiles::HasStruck(); }));
  EXPECT_CODE(berth().Start(id), kUnavailable);
  EXPECT_TRUE(Eventually(kPatience, [&] { return berth().Start(id).ok(); }));
  ASSERT_OK_AND_ASSIGN(const auto status, berth().ContainerStatus(id));
  EXPECT_EQ(status.state(), cri::CONTAINER_RUNNING);
  ASSERT_OK_AND_ASSIGN(const Json report, pod.ExecForJson(id, {"report"}));
  EXPECT_THAT(report.value("uid_map", ""), MatchesRegex(" *0 +1114112 +65536\n"));
}

// The daemon dies when the container runs, before it has noted that; the monitor, which knows,
// cannot be asked.
TEST_F(CrossingCallsTest, WhatMayRunIsNotTreatedAsIfItDidNot) {
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(berth(), MakePodConfig(Name())));
  ASSERT_OK_AND_ASSIGN(const std::string id, pod.Create(MakeProbe("c", {"sleep"})));
  FailpointFiles::Arm({.point = "start_container.launched", .kind = "kill"});
  EXPECT_FALSE(berth().Start(id).ok());
  const pid_t monitor = MonitorOf(pod.id());
  ASSERT_EQ(kill(monitor, SIGSTOP), 0);
  StartAgain();
  cri::UpdateContainerResourcesRequest update;
  update.set_container_id(id);
  update.mutable_linux()->set_memory_limit_in_bytes(64 << 20);
  EXPECT_CODE(berth().Call(&Runtime::UpdateContainerResources, update).status(), kUnavailable);
  ASSERT_OK_AND_ASSIGN(const CommandResult copy,
                       RunBerth(daemon().socket(), {"cp", id + ":/probe", "-"}));
  EXPECT_EQ(copy.code, 1);
  EXPECT_THAT(copy.err, HasSubstr("has not answered"));
  ASSERT_EQ(kill(monitor, SIGCONT), 0);
  EXPECT_TRUE(Eventually(
      kPatience, [&] { return berth().Call(&Runtime::UpdateContainerResources, update).ok(); }));
  ASSERT_OK_AND_ASSIGN(const auto status, berth().ContainerStatus(id));
  EXPECT_EQ(status.state(), cri::CONTAINER_RUNNING);
}

TEST_F(CrossingCallsTest, EndOfTheDaemonWhileAMonitorIsReadLate) {
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(berth(), MakePodConfig(Name())));
  const pid_t monitor = MonitorOf(pod.id());
  ASSERT_OK(daemon().Kill());
  ASSERT_EQ(kill(monitor, SIGSTOP), 0);
  ASSERT_OK(daemon().StartAgain());
  FailpointFiles::Arm({.point = "recover.watch", .kind = "delay", .value = kHeldMs});
  ASSERT_EQ(kill(monitor, SIGCONT), 0);
  EXPECT_TRUE(Eventually(kPatience, [] { return FailpointFiles::HasStruck(); }));
  EXPECT_OK(daemon().Terminate());
  StartAgain();
}

}  // namespace
}  // namespace berth::e2e
