// What operators of other runtimes reported (docs/reliability.md), by number: each test provokes
// the cause and looks for the symptom.
#include <errno.h>
#include <gmock/gmock.h>
#include <signal.h>
#include <sqlite3.h>

#include <thread>

#include "absl/strings/str_cat.h"
#include "test/e2e/failpoint_test.h"
#include "test/e2e/monitor_process.h"
#include "test/e2e/subprocess.h"

namespace berth::e2e {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

constexpr absl::Duration kPatience = absl::Seconds(30);

class IncidentTest : public FailpointTest {
 protected:
  cri::ContainerState StateOf(const std::string& container) {
    const auto status = berth().ContainerStatus(container);
    return status.ok() ? status->state() : cri::CONTAINER_UNKNOWN;
  }
  // A container whose process has installed its handlers.
  absl::StatusOr<std::string> RunReady(Pod& pod, const std::vector<std::string>& arguments) {
    absl::StatusOr<std::string> id = pod.RunContainer(MakeProbe("c", arguments));
    EXPECT_TRUE(Eventually(kPatience, [&] {
      const auto log = ReadLog(pod.LogPath("c"));
      return log.ok() && Joined(*log, "stdout") == "ready\n";
    }));
    return id;
  }
};

// A caller whose deadline passed comes again while the first call still runs, and again after it.
TEST_F(IncidentTest, I_01_RetriesOfSlowCreatesJoinThemAndGetTheirResult) {
  const cri::PodSandboxConfig config = MakePodConfig(Name());
  Client hasty(daemon().socket(), absl::Milliseconds(200));
  FailpointFiles::Arm({.point = "run_pod.network", .kind = "delay", .value = 700});
  EXPECT_CODE(hasty.RunPod(config), kDeadlineExceeded);
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(berth(), config));
  ASSERT_OK_AND_ASSIGN(const std::string same, berth().RunPod(config));
  EXPECT_EQ(same, pod.id());
  FailpointFiles::Arm({.point = "create_container.record", .kind = "delay", .value = 700});
  EXPECT_CODE(hasty.Create(pod.id(), MakeProbe("c", {"sleep"}), config), kDeadlineExceeded);
  ASSERT_OK_AND_ASSIGN(const std::string created, pod.Create(MakeProbe("c", {"sleep"})));
  ASSERT_OK_AND_ASSIGN(const std::string again, pod.Create(MakeProbe("c", {"sleep"})));
  EXPECT_EQ(again, created);
  ASSERT_OK_AND_ASSIGN(const auto pods, berth().ListPods());
  EXPECT_THAT(pods, SizeIs(1));
  ASSERT_OK_AND_ASSIGN(const auto containers, berth().ListContainers());
  EXPECT_THAT(containers, SizeIs(1));
}

// Neither the create nor its undoing succeeds: the name is not taken for ever.
TEST_F(IncidentTest, I_01_NameOfAPodThatCouldNotBeUndoneIsFreeForARetry) {
  const cri::PodSandboxConfig config = MakePodConfig(Name());
  FailpointFiles::Arm({.point = "monitor.setup", .kind = "delay", .value = 700});
  absl::Status first;
  std::thread caller([&] {
    Client own(daemon().socket());
    first = own.RunPod(config).status();
  });
  ASSERT_TRUE(Eventually(kPatience, [] { return FailpointFiles::HasStruck(); }));
  // Its monitor dies, so that it cannot be made; its row cannot be deleted.
  ASSERT_TRUE(Eventually(kPatience, [] { return !MonitorProcesses().empty(); }));
  FailpointFiles::Arm({.point = "remove_pod.record", .kind = "fail", .value = ENOSPC});
  for (const MonitorProcess& monitor : MonitorProcesses()) kill(monitor.pid, SIGKILL);
  caller.join();
  EXPECT_FALSE(first.ok());
  EXPECT_TRUE(FailpointFiles::HasStruck());
  ASSERT_OK_AND_ASSIGN(const Pod pod, Pod::Run(berth(), config));
  ASSERT_OK_AND_ASSIGN(const auto pods, berth().ListPods());
  EXPECT_THAT(pods, SizeIs(1));
}

// The deadline of a stop is its monitor's, not the daemon's.
TEST_F(IncidentTest, I_03_StopEndsAtItsDeadlineThoughTheDaemonDied) {
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(berth(), MakePodConfig(Name())));
  ASSERT_OK_AND_ASSIGN(const std::string id, RunReady(pod, {"ignore-term"}));
  ASSERT_OK_AND_ASSIGN(const auto before, berth().ContainerStatus(id));
  std::thread caller([&] {
    Client own(daemon().socket());
    own.Stop(id, 1, absl::Seconds(20)).IgnoreError();
  });
  EXPECT_TRUE(
      Eventually(kPatience, [] { return FailpointFiles::Hits().count("monitor.stop") == 1; }));
  ASSERT_OK(daemon().Kill());
  caller.join();
  const std::string record =
      absl::StrCat(daemon().options().dir, "/state/pods/", pod.id(), "/", id, ".exit");
  EXPECT_TRUE(Eventually(kPatience, [&] { return access(record.c_str(), F_OK) == 0; }));
  ASSERT_NO_FATAL_FAILURE(StartAgain());
  ASSERT_OK_AND_ASSIGN(const auto status, berth().ContainerStatus(id));
  EXPECT_EQ(status.state(), cri::CONTAINER_EXITED);
  EXPECT_EQ(status.exit_code(), 137);
}

// The monitor dies after it has written how the container ended, before it has told anyone.
TEST_F(IncidentTest, I_04_ExitThatNobodyWasToldIsReadFromItsRecord) {
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(berth(), MakePodConfig(Name())));
  ASSERT_OK_AND_ASSIGN(const std::string id, RunReady(pod, {"term-exit", "77"}));
  FailpointFiles::Arm({.point = "monitor.announce", .kind = "kill"});
  EXPECT_OK(berth().Stop(id, 20));
  EXPECT_TRUE(FailpointFiles::HasStruck());
  ASSERT_OK_AND_ASSIGN(const auto status, berth().ContainerStatus(id));
  EXPECT_EQ(status.exit_code(), 77);
}

// A stopped monitor has not lost its container: nothing is killed because it did not answer.
TEST_F(IncidentTest, I_05_ContainerOfAMonitorThatDoesNotAnswerIsUnknownAndLives) {
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(berth(), MakePodConfig(Name())));
  ASSERT_OK_AND_ASSIGN(const std::string id, RunReady(pod, {"term-exit", "77"}));
  const pid_t monitor = MonitorOf(pod.id());
  ASSERT_GT(monitor, 0);
  ASSERT_OK(daemon().Kill());
  ASSERT_EQ(kill(monitor, SIGSTOP), 0);
  StartAgain();
  EXPECT_EQ(StateOf(id), cri::CONTAINER_UNKNOWN);
  ASSERT_OK_AND_ASSIGN(const auto containers, berth().ListContainers());
  EXPECT_THAT(containers, SizeIs(1));
  EXPECT_CODE(berth().Stop(id, 1), kUnavailable);
  ASSERT_EQ(kill(monitor, SIGCONT), 0);
  EXPECT_TRUE(Eventually(kPatience, [&] { return StateOf(id) == cri::CONTAINER_RUNNING; }));
  EXPECT_OK(berth().Stop(id, 20));
  ASSERT_OK_AND_ASSIGN(const auto status, berth().ContainerStatus(id));
  EXPECT_EQ(status.exit_code(), 77);
}

TEST_F(IncidentTest, I_13_NothingIsCreatedInAStoppedPod) {
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(berth(), MakePodConfig(Name())));
  ASSERT_OK(berth().StopPod(pod.id()));
  EXPECT_CODE(pod.Create(MakeProbe("c", {"sleep"})), kFailedPrecondition);
}

// A removal that did not come to its end is not told as one.
TEST_F(IncidentTest, I_13_RecordGoesAsTheLastStepOfARemoval) {
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(berth(), MakePodConfig(Name())));
  ASSERT_OK_AND_ASSIGN(const std::string id, RunReady(pod, {"term-exit", "77"}));
  for (const char* point : {"remove_container.cgroup", "node.trash", "remove_container.record"}) {
    SCOPED_TRACE(point);
    FailpointFiles::Arm({.point = point, .kind = "fail", .value = EIO});
    EXPECT_FALSE(berth().Remove(id).ok());
    EXPECT_EQ(StateOf(id), cri::CONTAINER_EXITED);
  }
  EXPECT_OK(berth().Remove(id));
  for (const char* point :
       {"remove_pod.cgroup", "node.trash", "remove_pod.state", "remove_pod.record"}) {
    SCOPED_TRACE(point);
    FailpointFiles::Arm({.point = point, .kind = "fail", .value = EIO});
    EXPECT_FALSE(berth().RemovePod(pod.id()).ok());
    ASSERT_OK_AND_ASSIGN(const auto status, berth().PodStatus(pod.id()));
    EXPECT_EQ(status.state(), cri::SANDBOX_NOTREADY);
  }
  EXPECT_OK(berth().RemovePod(pod.id()));
}

// One hung monitor: berthd starts, and knows of the others.
TEST_F(IncidentTest, I_14_HungMonitorKeepsNoStartWaiting) {
  ASSERT_OK_AND_ASSIGN(Pod hung, Pod::Run(berth(), MakePodConfig(Name("-hung"))));
  ASSERT_OK_AND_ASSIGN(const std::string unknown, RunReady(hung, {"term-exit", "77"}));
  ASSERT_OK_AND_ASSIGN(Pod good, Pod::Run(berth(), MakePodConfig(Name("-good"))));
  ASSERT_OK_AND_ASSIGN(const std::string known, RunReady(good, {"term-exit", "77"}));
  const pid_t monitor = MonitorOf(hung.id());
  ASSERT_OK(daemon().Kill());
  ASSERT_EQ(kill(monitor, SIGSTOP), 0);
  StartAgain();
  EXPECT_EQ(StateOf(unknown), cri::CONTAINER_UNKNOWN);
  EXPECT_EQ(StateOf(known), cri::CONTAINER_RUNNING);
  EXPECT_OK(berth().Exec(known, {"/probe", "exit", "0"}));
  ASSERT_EQ(kill(monitor, SIGCONT), 0);
  EXPECT_TRUE(Eventually(kPatience, [&] { return StateOf(unknown) == cri::CONTAINER_RUNNING; }));
}

// The daemon dies while it makes the rows of a lost database again: what has none yet is no orphan.
TEST_F(IncidentTest, I_09_RowsThatACutOffStartDidNotMakeAreMadeByTheNext) {
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(berth(), MakePodConfig(Name())));
  ASSERT_OK_AND_ASSIGN(const std::string id, RunReady(pod, {"term-exit", "77"}));
  ASSERT_OK(daemon().Kill());
  for (const char* suffix : {"", "-wal", "-shm"})
    unlink(absl::StrCat(daemon().options().dir, "/data/berth.db", suffix).c_str());
  FailpointFiles::Arm({.point = "store.commit", .kind = "kill"});
  EXPECT_FALSE(daemon().StartAgain().ok());
  EXPECT_TRUE(FailpointFiles::HasStruck());
  StartAgain();
  ASSERT_OK_AND_ASSIGN(const auto status, berth().PodStatus(pod.id()));
  EXPECT_EQ(status.state(), cri::SANDBOX_READY);
  EXPECT_EQ(StateOf(id), cri::CONTAINER_RUNNING);
}

// The same for want of room.
TEST_F(IncidentTest, I_09_RowsThatThereWasNoRoomForAreMadeByTheNextStart) {
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(berth(), MakePodConfig(Name())));
  ASSERT_OK_AND_ASSIGN(const std::string id, RunReady(pod, {"term-exit", "77"}));
  ASSERT_OK(daemon().Kill());
  for (const char* suffix : {"", "-wal", "-shm"})
    unlink(absl::StrCat(daemon().options().dir, "/data/berth.db", suffix).c_str());
  FailpointFiles::Arm({.point = "store.commit", .kind = "fail", .value = ENOSPC});
  EXPECT_FALSE(daemon().StartAgain().ok());
  StartAgain();
  EXPECT_EQ(StateOf(id), cri::CONTAINER_RUNNING);
}

// A change that a restart would lose is not told as done.
TEST_F(IncidentTest, I_13_UpdateThatIsNotStoredIsAnError) {
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(berth(), MakePodConfig(Name())));
  ASSERT_OK_AND_ASSIGN(const std::string id, RunReady(pod, {"term-exit", "77"}));
  cri::UpdateContainerResourcesRequest request;
  request.set_container_id(id);
  request.mutable_linux()->set_memory_limit_in_bytes(64 * kMiB);
  FailpointFiles::Arm({.point = "node.persist_container", .kind = "fail", .value = ENOSPC});
  const auto failed = berth().Call(&Runtime::UpdateContainerResources, request);
  EXPECT_CODE(failed, kResourceExhausted);
  EXPECT_THAT(std::string(failed.status().message()), HasSubstr(id));
  EXPECT_OK(berth().Call(&Runtime::UpdateContainerResources, request));
  ASSERT_OK(daemon().Kill());
  ASSERT_NO_FATAL_FAILURE(StartAgain());
  ASSERT_OK_AND_ASSIGN(const auto status, berth().ContainerStatus(id));
  EXPECT_EQ(status.resources().linux().memory_limit_in_bytes(), 64 * kMiB);
}

// The pids of a pod's processes have gone to another process while berthd was away.
TEST_F(IncidentTest, I_15_ProcessThatHasAPodsOldPidIsLeftAlone) {
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(berth(), MakePodConfig(Name())));
  ASSERT_OK_AND_ASSIGN(const std::string id, RunReady(pod, {"ignore-term"}));
  ASSERT_OK_AND_ASSIGN(Subprocess innocent, Subprocess::Start({.argv = {"/bin/sleep", "1000"}}));
  ASSERT_OK(daemon().Kill());
  ASSERT_EQ(kill(MonitorOf(pod.id()), SIGKILL), 0);
  sqlite3* database = nullptr;
  ASSERT_EQ(sqlite3_open((daemon().options().dir + "/data/berth.db").c_str(), &database),
            SQLITE_OK);
  const std::string change = absl::StrCat(
      "UPDATE pods SET status = json_set(status, '$.monitor_pid', ", innocent.pid(),
      ", '$.pod_init_pid', ", innocent.pid(),
      "); UPDATE containers SET status = json_set(status, '$.pid', ", innocent.pid(), ");");
  EXPECT_EQ(sqlite3_exec(database, change.c_str(), nullptr, nullptr, nullptr), SQLITE_OK)
      << sqlite3_errmsg(database);
  sqlite3_close(database);
  StartAgain();
  ASSERT_OK_AND_ASSIGN(const auto status, berth().ContainerStatus(id));
  EXPECT_EQ(status.state(), cri::CONTAINER_EXITED);
  EXPECT_OK(berth().Remove(id));
  EXPECT_OK(berth().StopPod(pod.id()));
  EXPECT_EQ(innocent.Wait(absl::ZeroDuration()), std::nullopt) << "it was killed";
}

}  // namespace
}  // namespace berth::e2e
