// ExecSync: results, limits, timeouts, and what is left of an exec afterwards.
#include <gmock/gmock.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "src/base/sanitized.h"
#include "test/e2e/isolation.h"
#include "test/e2e/with_pod.h"

namespace berth::e2e {
namespace {

namespace fs = std::filesystem;

using ::testing::HasSubstr;

class ExecTest : public WithPod<E2eTest> {
 protected:
  void SetUp() override {
    WithPod<E2eTest>::SetUp();
    if (HasFatalFailure()) return;
    ASSERT_OK_AND_ASSIGN(id_, pod().RunContainer(MakeKubeletProbe("c", {"sleep"})));
  }
  // How many processes of the container have `word` in their command line.
  int Count(const std::string& word) {
    const auto report = pod().ExecForJson(id_, {"report"});
    EXPECT_OK(report);
    int count = 0;
    for (const auto& [pid, command] : (*report)["processes"].items()) {
      count += command.is_string() && absl::StrContains(command.get<std::string>(), word);
    }
    return count;
  }
  const std::string& id() const { return id_; }

 private:
  std::string id_;
};

TEST_F(ExecTest, ReturnsOutputAndCodeApart) {
  ASSERT_OK_AND_ASSIGN(const auto out, client().Exec(id(), {"/probe", "lines", "2"}));
  EXPECT_EQ(out.stdout(), "stdout line 0\nstdout line 1\n");
  EXPECT_EQ(out.stderr(), "stderr line 0\nstderr line 1\n");
  EXPECT_EQ(out.exit_code(), 0);
}

TEST_F(ExecTest, OutputIsExact) {
  ASSERT_OK_AND_ASSIGN(const auto out,
                       client().Exec(id(), {"/probe", "emit", "1", "text:a", "nul", "text:b"}));
  EXPECT_EQ(out.stdout(), std::string("a\0b", 3));
  EXPECT_EQ(out.stderr(), "");
}

TEST_F(ExecTest, ExitCodesAreNoErrors) {
  for (const int code : {0, 1, 7, 127, 255}) {
    ASSERT_OK_AND_ASSIGN(const auto out,
                         client().Exec(id(), {"/probe", "exit", std::to_string(code)}));
    EXPECT_EQ(out.exit_code(), code);
  }
  ASSERT_OK_AND_ASSIGN(const auto killed, client().Exec(id(), {"/probe", "die-of", "9"}));
  EXPECT_EQ(killed.exit_code(), 137);
}

TEST_F(ExecTest, WorksWithoutATimeout) {
  ASSERT_OK_AND_ASSIGN(const auto out,
                       client().Exec(id(), {"/probe", "exit", "4"}, /*timeout_seconds=*/0));
  EXPECT_EQ(out.exit_code(), 4);
}

TEST_F(ExecTest, IsInsideTheContainer) {
  ASSERT_OK_AND_ASSIGN(const Json report, pod().ExecForJson(id(), {"report"}));
  EXPECT_EQ(report["hostname"], Name());
  EXPECT_NE(report["pid"], 1);
  EXPECT_EQ(report["processes"].size(), 2u);
  EXPECT_EQ(report["cwd"], "/");
  EXPECT_EQ(report["fds"]["0"], "/dev/null");
  bool has_env = false;
  for (const std::string word : report["env"])
    has_env |= word == "KUBERNETES_SERVICE_HOST=10.96.0.1";
  EXPECT_TRUE(has_env);
}

TEST_F(ExecTest, TimeoutKillsTheProcess) {
  const auto out = client().Exec(id(), {"/probe", "ignore-term"}, 1);
  EXPECT_CODE(out, kDeadlineExceeded);
  EXPECT_THAT(std::string(out.status().message()), HasSubstr("timed out"));
  EXPECT_EQ(Count("ignore-term"), 0);
}

TEST_F(ExecTest, I_20_TimeoutKillsItsOrphansToo) {
  EXPECT_CODE(client().Exec(id(), {"/probe", "spawn-orphans", "3", "stay"}, 1), kDeadlineExceeded);
  EXPECT_EQ(Count("spawn-orphans"), 0);
  ASSERT_OK_AND_ASSIGN(const auto status, client().ContainerStatus(id()));
  EXPECT_EQ(status.state(), cri::CONTAINER_RUNNING);
}

TEST_F(ExecTest, I_20_OrphansThatKeepTheOutputOpenDoNotHoldTheAnswer) {
  ASSERT_OK_AND_ASSIGN(const auto out,
                       client().Exec(id(), {"/probe", "spawn-orphans", "2"}, 0, absl::Seconds(60)));
  EXPECT_EQ(out.exit_code(), 0);
  EXPECT_EQ(out.stdout(), "orphans left\n");
}

TEST_F(ExecTest, HugeOutputIsCutSoThatAKubeletCanReceiveIt) {
  ASSERT_OK_AND_ASSIGN(const auto out,
                       client().Exec(id(), {"/probe", "emit", "1", "repeat:x:20000000"}));
  EXPECT_EQ(out.exit_code(), 0);
  EXPECT_GT(out.stdout().size(), 8u << 20);
  EXPECT_LT(out.ByteSizeLong(), 16u << 20);
}

TEST_F(ExecTest, SeveralMegabytesAreComplete) {
  ASSERT_OK_AND_ASSIGN(const auto out,
                       client().Exec(id(), {"/probe", "emit", "2", "repeat:y:3000000"}));
  EXPECT_EQ(out.stderr(), std::string(3000000, 'y'));
}

TEST_F(ExecTest, MissingBinaryIsAnErrorThatNamesIt) {
  const auto out = client().Exec(id(), {"/no/such/program"});
  EXPECT_CODE(out, kUnknown, kNotFound, kFailedPrecondition, kInvalidArgument);
  EXPECT_THAT(std::string(out.status().message()), HasSubstr("/no/such/program"));
}

TEST_F(ExecTest, EmptyCommandIsAnInvalidArgument) {
  EXPECT_CODE(client().Exec(id(), {}), kInvalidArgument);
}

TEST_F(ExecTest, NeedsARunningContainer) {
  ASSERT_OK_AND_ASSIGN(const std::string created, pod().Create(MakeKubeletProbe("d", {"sleep"})));
  EXPECT_CODE(client().Exec(created, {"/probe", "exit", "0"}), kFailedPrecondition);
  ASSERT_OK(client().Stop(id(), 0));
  EXPECT_CODE(client().Exec(id(), {"/probe", "exit", "0"}), kFailedPrecondition);
}

TEST_F(ExecTest, ClientThatGivesUpKillsTheProcess) {
  EXPECT_CODE(client().Exec(id(), {"/probe", "ignore-term"}, 0, absl::Milliseconds(300)),
              kDeadlineExceeded);
  EXPECT_TRUE(Eventually(absl::Seconds(30), [&] { return Count("ignore-term") == 0; }));
}

TEST_F(ExecTest, ManyRunAtOnce) {
  std::vector<std::thread> threads;
  std::vector<absl::StatusOr<cri::ExecSyncResponse>> results(16, absl::UnknownError("not run"));
  for (size_t i = 0; i < results.size(); ++i) {
    threads.emplace_back([&, i] {
      results[i] = client().Exec(id(), {"/probe", "exit", std::to_string(i)});
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (size_t i = 0; i < results.size(); ++i) {
    ASSERT_OK(results[i]);
    EXPECT_EQ(results[i]->exit_code(), static_cast<int>(i));
  }
}

// A frozen container answers nobody: the deadline holds all the same.
TEST_F(ExecTest, TimeoutHoldsInAFrozenContainer) {
  std::string file;
  for (const char* root : {"/sys/fs/cgroup/freezer", "/sys/fs/cgroup"}) {
    std::error_code gone;
    for (fs::recursive_directory_iterator it(fs::path(root) / NodeName(), gone), end;
         !gone && file.empty() && it != end; it.increment(gone)) {
      const std::string name = it->path().filename();
      if ((name == "freezer.state" || name == "cgroup.freeze") &&
          it->path().parent_path().filename() == id())
        file = it->path();
    }
  }
  if (file.empty()) GTEST_SKIP() << "the container has no freezer";
  const bool v1 = absl::EndsWith(file, "freezer.state");
  const auto put = [&](const char* value) { std::ofstream(file) << value; };
  put(v1 ? "FROZEN" : "1");
  EXPECT_CODE(client().Exec(id(), {"/probe", "exit", "0"}, 1), kDeadlineExceeded);
  put(v1 ? "THAWED" : "0");
  ASSERT_OK_AND_ASSIGN(const auto out, client().Exec(id(), {"/probe", "exit", "3"}));
  EXPECT_EQ(out.exit_code(), 3);
}

// What an exec may leave behind shows in one of these numbers.
struct Footprint {
  long daemon_bytes, daemon_fds, daemon_threads, monitor_bytes, monitor_fds, monitor_children;
};

long Resident(pid_t pid) {
  std::ifstream statm("/proc/" + std::to_string(pid) + "/statm");
  long size = 0, resident = 0;
  statm >> size >> resident;
  return resident * 4096;
}

long Entries(pid_t pid, const std::string& directory) {
  const fs::directory_iterator all("/proc/" + std::to_string(pid) + "/" + directory);
  return std::distance(begin(all), end(all));
}

pid_t ParentOf(pid_t pid) {
  std::ifstream status("/proc/" + std::to_string(pid) + "/status");
  for (std::string key; status >> key;) {
    if (key != "PPid:") continue;
    status >> pid;
    return pid;
  }
  return -1;
}

long Children(pid_t parent) {
  long count = 0;
  for (const auto& entry : fs::directory_iterator("/proc")) {
    int pid = 0;
    if (absl::SimpleAtoi(entry.path().filename().string(), &pid)) count += ParentOf(pid) == parent;
  }
  return count;
}

// A short form; BERTH_EXEC_SOAK=100000 is the long one.
TEST_F(ExecTest, I_21_ManyLeaveNothingAndHoldMemoryFlat) {
  const char* wanted = getenv("BERTH_EXEC_SOAK");
  const int rounds = wanted != nullptr ? std::atoi(wanted) : 300;
  const auto run = [&](int count) {
    for (int i = 0; i < count; ++i) {
      const auto out = client().Exec(id(), {"/probe", "exit", "0"});
      ASSERT_OK(out);
      ASSERT_EQ(out->exit_code(), 0);
    }
  };
  cri::ContainerStatusRequest request;
  request.set_container_id(id());
  request.set_verbose(true);
  ASSERT_OK_AND_ASSIGN(const auto status, client().Call(&Runtime::ContainerStatus, request));
  const Json info = Json::parse(status.info().at("info"), nullptr, false);
  const pid_t daemon = node().daemon().pid(), monitor = ParentOf(info.value("pid", 0));
  const auto measure = [&] {
    return Footprint{.daemon_bytes = Resident(daemon),
                     .daemon_fds = Entries(daemon, "fd"),
                     .daemon_threads = Entries(daemon, "task"),
                     .monitor_bytes = Resident(monitor),
                     .monitor_fds = Entries(monitor, "fd"),
                     .monitor_children = Children(monitor)};
  };
  ASSERT_NO_FATAL_FAILURE(run(std::min(100, rounds)));  // what grows once has grown
  // So has what is kept open of the pod for its statistics.
  ASSERT_OK(client().Call(&Runtime::ListContainerStats, {}));
  ASSERT_OK(client().Call(&Runtime::ListPodSandboxStats, {}));
  // The monitor reaps an exec once it has told of its end: the container and the zygote are left.
  const auto reaped = [&] { return Children(monitor) == 2; };
  EXPECT_TRUE(Eventually(absl::Seconds(30), reaped)) << Children(monitor);
  const Footprint before = measure();
  ASSERT_NO_FATAL_FAILURE(run(rounds));
  // It hears a little later that its last caller has gone.
  EXPECT_TRUE(Eventually(absl::Seconds(30), [&] {
    return reaped() && Entries(monitor, "fd") <= before.monitor_fds;
  })) << Children(monitor);
  const Footprint after = measure();
  if (!kSanitized) {
    EXPECT_LT(after.daemon_bytes - before.daemon_bytes, 4 << 20);
  }
  EXPECT_LE(after.daemon_fds, before.daemon_fds);
  EXPECT_LE(after.daemon_threads, before.daemon_threads + 2) << "gRPC keeps a few in reserve";
  EXPECT_LE(after.monitor_bytes - before.monitor_bytes, 64 << 10);
  EXPECT_EQ(after.monitor_children, before.monitor_children);
  std::cout << "berthd: " << before.daemon_bytes << " to " << after.daemon_bytes << " bytes, "
            << before.daemon_fds << " to " << after.daemon_fds << " descriptors, "
            << before.daemon_threads << " to " << after.daemon_threads
            << " threads; monitor: " << before.monitor_bytes << " to " << after.monitor_bytes
            << " bytes, " << before.monitor_fds << " to " << after.monitor_fds << " descriptors"
            << std::endl;
  ASSERT_OK_AND_ASSIGN(const Json report, pod().ExecForJson(id(), {"report"}));
  EXPECT_EQ(report["processes"].size(), 2u);
}

TEST_F(ExecTest, IsInEveryCgroupOfTheContainer) {
  for (int i = 0; i < 2; ++i) {  // the second one takes the cgroup that the first has left
    ASSERT_OK_AND_ASSIGN(const auto own,
                         client().Exec(id(), {"/probe", "read", "/proc/self/cgroup"}));
    int hierarchies = 0;
    for (absl::string_view line : absl::StrSplit(own.stdout(), '\n', absl::SkipEmpty())) {
      ++hierarchies;
      // As seen from the container's own, "/"; its own leaf is below that.
      const absl::string_view path = line.substr(line.rfind(':') + 1);
      EXPECT_TRUE(path == "/" || absl::StartsWith(path, "/exec-")) << line;
    }
    EXPECT_GT(hierarchies, 0) << own.stdout();
  }
}

TEST_F(ExecTest, WorksInAContainerThatIsBeingStopped) {
  auto config = MakeKubeletProbe("stopping", {"ignore-term"});
  ASSERT_OK_AND_ASSIGN(const std::string stopping, pod().RunContainer(config));
  ASSERT_TRUE(Eventually(absl::Seconds(30), [&] {
    const auto log = ReadLog(pod().LogPath("stopping"));
    return log.ok() && Joined(*log, "stdout") == "ready\n";
  }));
  std::thread stop([&] { EXPECT_OK(client().Stop(stopping, 3)); });
  absl::StatusOr<cri::ExecSyncResponse> out = absl::UnknownError("not run");
  int served = 0;
  do {
    out = client().Exec(stopping, {"/probe", "exit", "3"});
    served += out.ok() && out->exit_code() == 3;
  } while (out.ok() && out->exit_code() == 3);
  stop.join();
  EXPECT_GT(served, 0);
  // The one that met the kill has died of it, or came too late.
  if (out.ok()) {
    EXPECT_EQ(out->exit_code(), 137);
  } else {
    EXPECT_CODE(out, kFailedPrecondition);
  }
  EXPECT_CODE(client().Exec(stopping, {"/probe", "exit", "0"}), kFailedPrecondition);
}

TEST_F(ExecTest, EndsWithItsContainer) {
  absl::StatusOr<cri::ExecSyncResponse> out = absl::UnknownError("not run");
  std::thread caller([&] { out = client().Exec(id(), {"/probe", "ignore-term"}, 0); });
  EXPECT_TRUE(Eventually(absl::Seconds(30), [&] { return Count("ignore-term") == 1; }));
  EXPECT_OK(client().Stop(id(), 0));
  caller.join();
  if (out.ok()) {
    EXPECT_EQ(out->exit_code(), 137);
  }
}

}  // namespace
}  // namespace berth::e2e
