// The daemon dies or is restarted while pods run.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <thread>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "src/base/unique_fd.h"
#include "test/e2e/e2e_test.h"
#include "test/e2e/monitor_process.h"
#include "test/e2e/process_search.h"
#include "test/e2e/text_file.h"

namespace berth::e2e {
namespace {

using ::testing::HasSubstr;

class RestartTest : public E2eTest {
 protected:
  void KillAndStartAgain() {
    ASSERT_OK(node().daemon().Kill());
    ASSERT_OK(node().daemon().StartAgain());
    node().Reconnect();
  }
};

// A helper that the killed daemon was starting has its descriptors for a moment, the lock among
// them.
TEST_F(RestartTest, LockThatTheKilledOneLeftToAHelperIsWaitedFor) {
  ASSERT_OK(node().daemon().Kill());
  const std::string path = node().daemon().options().dir + "/data/berthd.lock";
  UniqueFd lock(open(path.c_str(), O_RDWR | O_CLOEXEC));
  ASSERT_EQ(flock(lock.get(), LOCK_EX | LOCK_NB), 0);
  std::thread helper([&lock] {
    absl::SleepFor(absl::Milliseconds(200));
    lock.reset();
  });
  EXPECT_OK(node().daemon().StartAgain());
  helper.join();
  node().Reconnect();
}

TEST_F(RestartTest, SocketThatTheKilledOneLeftToAHelperIsWaitedFor) {
  ASSERT_OK(node().daemon().Kill());
  const std::string path = node().daemon().socket();
  ASSERT_EQ(unlink(path.c_str()), 0);
  sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = {}};
  ASSERT_LT(path.size(), sizeof address.sun_path);
  path.copy(address.sun_path, path.size());
  UniqueFd listening(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  ASSERT_EQ(bind(listening.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(listen(listening.get(), 1), 0);
  std::thread helper([&listening] {
    absl::SleepFor(absl::Milliseconds(200));
    listening.reset();
  });
  EXPECT_OK(node().daemon().StartAgain());
  helper.join();
  node().Reconnect();
}

TEST_F(RestartTest, MonitorsThatWaitForAPodEndWithTheDaemon) {
  const std::vector<pid_t> waiting = ReadyMonitors(node().daemon().pid());
  if (waiting.empty()) GTEST_SKIP() << "with cgroup2 none waits";
  ASSERT_OK(node().daemon().Kill());
  EXPECT_TRUE(Eventually(absl::Seconds(10), [&] {
    return std::all_of(waiting.begin(), waiting.end(), [](pid_t pid) {
      return ContentOf(absl::StrCat("/proc/", pid, "/cmdline")).empty();
    });
  }));
  ASSERT_OK(node().daemon().StartAgain());
  node().Reconnect();
}

TEST_F(RestartTest, MonitorsThatSomebodyKilledAreNoPods) {
  const std::vector<pid_t> waiting = ReadyMonitors(node().daemon().pid());
  for (const pid_t pid : waiting) ASSERT_EQ(kill(pid, SIGKILL), 0);
  ASSERT_TRUE(Eventually(absl::Seconds(10), [&] {
    return std::all_of(waiting.begin(), waiting.end(), [](pid_t pid) {
      return ContentOf(absl::StrCat("/proc/", pid, "/cmdline")).empty();
    });
  }));
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), MakePodConfig(Name())));
  ASSERT_OK(pod.RunContainer(MakeProbe("r", {"sleep"})).status());
}

TEST_F(RestartTest, EverythingIsListedAsBeforeAfterAKill) {
  cri::PodSandboxConfig config = MakeKubeletPodConfig(Name());
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), config));
  ASSERT_OK_AND_ASSIGN(const std::string running,
                       pod.RunContainer(MakeKubeletProbe("r", {"sleep"})));
  ASSERT_OK_AND_ASSIGN(const std::string created, pod.Create(MakeKubeletProbe("n", {"exit", "6"})));
  ASSERT_OK_AND_ASSIGN(const FinishedContainer exited,
                       pod.RunToEnd(MakeKubeletProbe("e", {"exit", "5"})));
  ASSERT_OK_AND_ASSIGN(const Pod stopped, Pod::Run(client(), MakePodConfig(Name("-stopped"))));
  ASSERT_OK(client().StopPod(stopped.id()));
  ASSERT_OK_AND_ASSIGN(const auto pod_before, client().PodStatus(pod.id()));
  std::vector<std::string> before;
  for (const std::string& id : {running, created, exited.id}) {
    ASSERT_OK_AND_ASSIGN(const auto status, client().ContainerStatus(id));
    before.push_back(status.DebugString());
  }

  ASSERT_NO_FATAL_FAILURE(KillAndStartAgain());

  ASSERT_OK_AND_ASSIGN(const auto pods, client().ListPods());
  EXPECT_EQ(pods.size(), 2u);
  ASSERT_OK_AND_ASSIGN(const auto pod_after, client().PodStatus(pod.id()));
  EXPECT_EQ(pod_after.DebugString(), pod_before.DebugString());
  ASSERT_OK_AND_ASSIGN(const auto stopped_after, client().PodStatus(stopped.id()));
  EXPECT_EQ(stopped_after.state(), cri::SANDBOX_NOTREADY);
  size_t at = 0;
  for (const std::string& id : {running, created, exited.id}) {
    ASSERT_OK_AND_ASSIGN(const auto status, client().ContainerStatus(id));
    EXPECT_EQ(status.DebugString(), before[at++]);
  }
  ASSERT_OK_AND_ASSIGN(const auto exec, client().Exec(running, {"/probe", "exit", "3"}));
  EXPECT_EQ(exec.exit_code(), 3);
  ASSERT_OK(client().Start(created));
  ASSERT_OK_AND_ASSIGN(const auto finished, client().WaitExit(created));
  EXPECT_EQ(finished.exit_code(), 6);
  EXPECT_OK(client().Stop(running, 30));
  EXPECT_OK(client().Remove(running));
}

TEST_F(RestartTest, ExitWhileTheDaemonIsAwayIsNotLost) {
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), MakePodConfig(Name())));
  ASSERT_OK_AND_ASSIGN(const std::string id, pod.RunContainer(MakeProbe("c", {"term-exit", "77"})));
  EXPECT_TRUE(Eventually(absl::Seconds(30), [&] {
    const auto log = ReadLog(pod.LogPath("c"));
    return log.ok() && Joined(*log, "stdout") == "ready\n";
  }));
  const pid_t process = ProcessWith("term-exit");
  ASSERT_GT(process, 0);
  ASSERT_OK(node().daemon().Kill());
  ASSERT_EQ(kill(process, SIGTERM), 0);
  EXPECT_TRUE(Eventually(absl::Seconds(30), [&] { return ProcessWith("term-exit") == 0; }));
  ASSERT_OK(node().daemon().StartAgain());
  node().Reconnect();
  ASSERT_OK_AND_ASSIGN(const auto status, client().WaitExit(id));
  EXPECT_EQ(status.exit_code(), 77);
  EXPECT_EQ(status.reason(), "Error");
  ASSERT_OK_AND_ASSIGN(const auto log, ReadLog(pod.LogPath("c")));
  EXPECT_EQ(Joined(log, "stdout"), "ready\nsignal 15\n");
}

TEST_F(RestartTest, LogGoesOnWhileTheDaemonIsAway) {
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), MakePodConfig(Name())));
  ASSERT_OK(pod.RunContainer(MakeProbe("c", {"tick"})));
  const auto logged = [&](const std::string& text) {
    return Eventually(absl::Seconds(30), [&] {
      const auto log = ReadLog(pod.LogPath("c"));
      return log.ok() && Joined(*log, "stdout") == text;
    });
  };
  EXPECT_TRUE(logged("ready\n"));
  ASSERT_OK(node().daemon().Kill());
  EXPECT_EQ(kill(ProcessWith("tick"), SIGUSR1), 0);
  EXPECT_TRUE(logged("ready\ntick 1\n"));
  ASSERT_OK(node().daemon().StartAgain());
  node().Reconnect();
}

TEST_F(RestartTest, CleanEndLeavesPodsRunning) {
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), MakePodConfig(Name())));
  ASSERT_OK_AND_ASSIGN(const std::string id, pod.RunContainer(MakeProbe("c", {"sleep"})));
  ASSERT_OK(node().daemon().Terminate());
  EXPECT_GT(ProcessWith("sleep"), 0);
  ASSERT_OK(node().daemon().StartAgain());
  node().Reconnect();
  ASSERT_OK_AND_ASSIGN(const auto status, client().ContainerStatus(id));
  EXPECT_EQ(status.state(), cri::CONTAINER_RUNNING);
}

TEST_F(RestartTest, SameRequestAfterAKillGetsTheSameObjects) {
  const cri::PodSandboxConfig config = MakePodConfig(Name());
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), config));
  ASSERT_OK_AND_ASSIGN(const std::string id, pod.Create(MakeProbe("c", {"sleep"})));
  ASSERT_NO_FATAL_FAILURE(KillAndStartAgain());
  ASSERT_OK_AND_ASSIGN(const std::string again, client().RunPod(config));
  EXPECT_EQ(again, pod.id());
  ASSERT_OK_AND_ASSIGN(const std::string container, pod.Create(MakeProbe("c", {"sleep"})));
  EXPECT_EQ(container, id);
}

TEST_F(RestartTest, ImagesAreKept) {
  ASSERT_OK_AND_ASSIGN(const auto before, client().ImageStatus(node().probe_image()));
  ASSERT_NO_FATAL_FAILURE(KillAndStartAgain());
  ASSERT_OK_AND_ASSIGN(const auto after, client().ImageStatus(node().probe_image()));
  EXPECT_EQ(after.image().DebugString(), before.image().DebugString());
}

TEST_F(RestartTest, KilledMonitorTakesItsContainersAndIsReported) {
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), MakePodConfig(Name())));
  ASSERT_OK_AND_ASSIGN(const std::string id, pod.RunContainer(MakeProbe("c", {"ignore-term"})));
  const pid_t monitor = MonitorOf(pod.id());
  ASSERT_GT(monitor, 0);
  ASSERT_EQ(kill(monitor, SIGKILL), 0);
  ASSERT_OK_AND_ASSIGN(const auto status, client().WaitExit(id));
  EXPECT_FALSE(status.reason().empty());
  EXPECT_NE(status.exit_code(), 0);
  EXPECT_TRUE(Eventually(absl::Seconds(30), [&] { return ProcessWith("ignore-term") == 0; }));
  EXPECT_OK(client().Remove(id));
}

// What the overlay of a start leaves that was cut off behind it.
TEST_F(RestartTest, AContainerStartsWhoseOverlayWasMountedBefore) {
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), MakePodConfig(Name())));
  ASSERT_OK_AND_ASSIGN(const std::string id, pod.Create(MakeProbe("c", {"sleep"})));
  const std::filesystem::path mark = std::filesystem::path(node().daemon().options().dir) /
                                     "data/containers" / id / "work/work/incompat/volatile";
  std::filesystem::create_directories(mark);
  std::ofstream(mark / "dirty").close();
  EXPECT_OK(client().Start(id));
}

// Kills the daemon at some moment of the life of pods; whatever moment it was, an identical retry
// succeeds, and removal leaves nothing (the oracle).
TEST_F(RestartTest, RetryAfterAKillInTheMiddleSucceeds) {
  for (int round = 0; round < 6; ++round) {
    const cri::PodSandboxConfig config = MakePodConfig(Name("-" + std::to_string(round)));
    cri::ContainerConfig container = MakeProbe("c", {"sleep"});
    std::thread worker([&] {
      Client own(node().daemon().socket());
      const auto id = own.RunPod(config);
      if (!id.ok()) return;
      const auto created = own.Create(*id, container, config);
      if (created.ok()) own.Start(*created).IgnoreError();
    });
    // The moment: when the daemon has written a number of log bytes or rows is not ours to know, so
    // spread it by what the kernel shows: the n-th new process of the node.
    const auto processes = [] {
      int count = 0;
      for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
        int pid = 0;
        count += absl::SimpleAtoi(entry.path().filename().string(), &pid);
      }
      return count;
    };
    const int wanted = processes() + round % 3;
    Eventually(absl::Milliseconds(200), [&] { return processes() >= wanted; });
    ASSERT_OK(node().daemon().Kill());
    ASSERT_OK(node().daemon().StartAgain());
    worker.join();
    node().Reconnect();
    ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), config));
    // What the interrupted caller made is listed; else it is made now.
    ASSERT_OK_AND_ASSIGN(const auto listed, client().ListContainers());
    absl::StatusOr<std::string> made = listed.empty() ? pod.Create(container) : listed[0].id();
    ASSERT_OK(made);
    const std::string id = *made;
    ASSERT_OK_AND_ASSIGN(const auto status, client().ContainerStatus(id));
    if (status.state() == cri::CONTAINER_CREATED) {
      EXPECT_OK(client().Start(id));
    }
    ASSERT_OK_AND_ASSIGN(const auto exec, client().Exec(id, {"/probe", "exit", "1"}));
    EXPECT_EQ(exec.exit_code(), 1);
  }
}

}  // namespace
}  // namespace berth::e2e
