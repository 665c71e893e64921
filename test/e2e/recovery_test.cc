// What a berthd finds at its start: rows and a database that are damaged or lost, pods of before a
// reboot, many containers (docs/reliability.md: I-02, I-05, I-09, I-13, I-14).
#include <gmock/gmock.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <thread>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "src/base/unique_fd.h"
#include "test/e2e/e2e_test.h"
#include "test/e2e/monitor_process.h"
#include "test/e2e/process_search.h"
#include "test/e2e/text_file.h"
#include "test/e2e/with_pod.h"

namespace berth::e2e {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

constexpr char kBootIdFile[] = "/proc/sys/kernel/random/boot_id";

class RecoveryTest : public E2eTest {
 protected:
  std::string Dir() { return node().daemon().options().dir; }
  std::string Database() { return Dir() + "/data/berth.db"; }
  void Stop() { ASSERT_OK(node().daemon().Kill()); }
  void StartAgain() {
    ASSERT_OK(node().daemon().StartAgain());
    node().Reconnect();
  }
  // Berthd is not running.
  void Change(const std::string& sql) {
    sqlite3* db = nullptr;
    ASSERT_EQ(sqlite3_open(Database().c_str(), &db), SQLITE_OK);
    char* error = nullptr;
    EXPECT_EQ(sqlite3_exec(db, sql.c_str(), nullptr, nullptr, &error), SQLITE_OK)
        << sql << ": " << (error == nullptr ? "" : error);
    sqlite3_close(db);
  }
  void LoseDatabase() {
    for (const char* suffix : {"", "-wal", "-shm"}) fs::remove(Database() + suffix);
  }
  void ForgetWhatWasSetAside() {
    for (const char* suffix : {"", "-wal", "-shm"}) fs::remove(Database() + ".damaged" + suffix);
  }
  std::string Status(const std::string& id) {
    auto status = client().ContainerStatus(id);
    if (!status.ok()) return status.status().ToString();
    status->clear_started_at();  // lost with the database
    return status->DebugString();
  }
};

// A pod with an address, and containers in each state.
class KnownPodTest : public WithPod<RecoveryTest> {
 protected:
  void SetUp() override {
    WithPod<RecoveryTest>::SetUp();
    if (HasFatalFailure()) return;
    ASSERT_OK_AND_ASSIGN(running_, pod().RunContainer(MakeKubeletProbe("r", {"sleep"})));
    ASSERT_OK_AND_ASSIGN(created_, pod().Create(MakeKubeletProbe("n", {"exit", "6"})));
    ASSERT_OK_AND_ASSIGN(const FinishedContainer exited,
                         pod().RunToEnd(MakeKubeletProbe("e", {"exit", "5"})));
    exited_ = exited.id;
    ASSERT_OK_AND_ASSIGN(const auto status, client().PodStatus(pod().id()));
    pod_status_ = status.DebugString();
    for (const std::string& id : {running_, created_, exited_}) statuses_[id] = Status(id);
    ASSERT_OK_AND_ASSIGN(const auto image, client().ImageStatus(node().probe_image()));
    image_ = image.DebugString();
  }
  void ExpectAllIsKnownAndWorks() {
    ASSERT_OK_AND_ASSIGN(const auto status, client().PodStatus(pod().id()));
    EXPECT_EQ(status.DebugString(), pod_status_);
    for (const auto& [id, before] : statuses_) EXPECT_EQ(Status(id), before);
    ASSERT_OK_AND_ASSIGN(const auto image, client().ImageStatus(node().probe_image()));
    EXPECT_EQ(image.DebugString(), image_);
    ASSERT_OK_AND_ASSIGN(const auto exec, client().Exec(running_, {"/probe", "exit", "3"}));
    EXPECT_EQ(exec.exit_code(), 3);
    ASSERT_OK(client().Start(created_));
    ASSERT_OK_AND_ASSIGN(const auto finished, client().WaitExit(created_));
    EXPECT_EQ(finished.exit_code(), 6);
    // Its address is not given away.
    ASSERT_OK_AND_ASSIGN(Pod other, Pod::Run(client(), MakePodConfig(Name("-other"))));
    ASSERT_OK_AND_ASSIGN(const auto others, client().PodStatus(other.id()));
    EXPECT_NE(others.network().ip(), status.network().ip());
    EXPECT_OK(client().Stop(running_, 30));
    EXPECT_OK(client().Remove(running_));
  }

  std::string running_, created_, exited_, pod_status_, image_;
  std::map<std::string, std::string> statuses_;
};

TEST_F(KnownPodTest, I_09_LostDatabaseIsMadeAgainFromMonitorsAndDisk) {
  ASSERT_NO_FATAL_FAILURE(Stop());
  LoseDatabase();
  ASSERT_NO_FATAL_FAILURE(StartAgain());
  ExpectAllIsKnownAndWorks();
}

TEST_F(KnownPodTest, I_09_DamagedDatabaseIsKeptAsideAndMadeAgain) {
  ASSERT_NO_FATAL_FAILURE(Stop());
  fs::remove(Database() + "-wal");
  const std::string garbage(8192, 'x');
  std::ofstream(Database()) << garbage;
  ASSERT_NO_FATAL_FAILURE(StartAgain());
  EXPECT_EQ(ContentOf(Database() + ".damaged"), garbage);
  ExpectAllIsKnownAndWorks();
  ForgetWhatWasSetAside();
}

TEST_F(KnownPodTest, I_02_DamagedRowsAreMadeGoodFromTheirFiles) {
  ASSERT_NO_FATAL_FAILURE(Stop());
  Change("UPDATE pods SET config = x'ff', status = 'no JSON'");
  Change("UPDATE containers SET config = x'ff', image = '', status = '{}'");
  ASSERT_NO_FATAL_FAILURE(StartAgain());
  // Of one that was not started nobody can tell.
  statuses_.erase(created_);
  ASSERT_OK_AND_ASSIGN(const auto status, client().PodStatus(pod().id()));
  EXPECT_EQ(status.DebugString(), pod_status_);
  for (const auto& [id, before] : statuses_) EXPECT_EQ(Status(id), before);
  ASSERT_OK_AND_ASSIGN(const auto exec, client().Exec(running_, {"/probe", "exit", "3"}));
  EXPECT_EQ(exec.exit_code(), 3);
}

TEST_F(KnownPodTest, I_02_PodOfWhichOnlyTheNameIsLeftIsNotReadyAndCanBeRemoved) {
  ASSERT_NO_FATAL_FAILURE(Stop());
  Change("UPDATE pods SET config = x'ff', status = 'no JSON'");
  fs::remove(Dir() + "/data/pods/" + pod().id() + "/record.json");
  ASSERT_NO_FATAL_FAILURE(StartAgain());
  ASSERT_OK_AND_ASSIGN(const auto status, client().PodStatus(pod().id()));
  EXPECT_EQ(status.state(), cri::SANDBOX_NOTREADY);
  EXPECT_EQ(status.metadata().DebugString(), pod().config().metadata().DebugString());
  ASSERT_OK_AND_ASSIGN(const auto running, client().ContainerStatus(running_));
  EXPECT_EQ(running.state(), cri::CONTAINER_EXITED);
  EXPECT_NE(running.exit_code(), 0);
  ASSERT_OK_AND_ASSIGN(const auto exited, client().ContainerStatus(exited_));
  EXPECT_EQ(exited.exit_code(), 5);
  EXPECT_EQ(ProcessWith("sleep"), 0);
  EXPECT_CODE(client().Exec(running_, {"/probe", "exit", "0"}), kFailedPrecondition);
}

TEST_F(KnownPodTest, I_02_ContainerOfWhichOnlyTheNameIsLeftHasEndedAndCanBeRemoved) {
  ASSERT_NO_FATAL_FAILURE(Stop());
  Change("UPDATE containers SET config = x'ff' WHERE id = '" + running_ + "'");
  fs::remove(Dir() + "/data/containers/" + running_ + "/record.json");
  ASSERT_NO_FATAL_FAILURE(StartAgain());
  ASSERT_OK_AND_ASSIGN(const auto status, client().ContainerStatus(running_));
  EXPECT_EQ(status.state(), cri::CONTAINER_EXITED);
  EXPECT_EQ(status.exit_code(), 255);
  EXPECT_EQ(status.reason(), "Unknown");
  EXPECT_EQ(status.metadata().name(), "r");
  EXPECT_TRUE(Eventually(absl::Seconds(30), [] { return ProcessWith("sleep") == 0; }));
  EXPECT_OK(client().Remove(running_));
  ASSERT_OK_AND_ASSIGN(const auto shown, client().PodStatus(pod().id()));
  EXPECT_EQ(shown.state(), cri::SANDBOX_READY);
}

TEST_F(KnownPodTest, I_05_MonitorWithoutARecordIsEnded) {
  ASSERT_NO_FATAL_FAILURE(Stop());
  LoseDatabase();
  fs::remove(Dir() + "/data/pods/" + pod().id() + "/record.json");
  ASSERT_NO_FATAL_FAILURE(StartAgain());
  ASSERT_OK_AND_ASSIGN(const auto pods, client().ListPods());
  EXPECT_TRUE(pods.empty());
  EXPECT_TRUE(Eventually(absl::Seconds(30), [] { return ProcessWith("sleep") == 0; }));
}

TEST_F(KnownPodTest, RebootEndsPodsTakesNetworksAndLeavesLogs) {
  ASSERT_OK_AND_ASSIGN(const auto before, client().ContainerStatus(exited_));
  ASSERT_NO_FATAL_FAILURE(Stop());
  // What a reboot does: no process, no state directory, no link, no cgroup; another boot id.
  for (const MonitorProcess& monitor : MonitorProcesses()) kill(monitor.pid, SIGKILL);
  EXPECT_TRUE(Eventually(absl::Seconds(30), [] { return ProcessWith("sleep") == 0; }));
  fs::remove_all(Dir() + "/state/pods");
  const std::string boot_id = NodeDir() + "/boot-id";
  std::ofstream(boot_id) << "00000000-0000-4000-8000-000000000000\n";
  ASSERT_EQ(mount(boot_id.c_str(), kBootIdFile, nullptr, MS_BIND, nullptr), 0);
  StartAgain();
  EXPECT_EQ(umount2(kBootIdFile, MNT_DETACH), 0);
  fs::remove(boot_id);

  ASSERT_OK_AND_ASSIGN(const auto shown, client().PodStatus(pod().id()));
  EXPECT_EQ(shown.state(), cri::SANDBOX_NOTREADY);
  ASSERT_OK_AND_ASSIGN(const auto running, client().ContainerStatus(running_));
  EXPECT_EQ(running.state(), cri::CONTAINER_EXITED);
  EXPECT_EQ(running.exit_code(), 255);
  EXPECT_EQ(running.reason(), "Unknown");
  EXPECT_THAT(running.message(), HasSubstr("rebooted"));
  ASSERT_OK_AND_ASSIGN(const auto exited, client().ContainerStatus(exited_));
  EXPECT_EQ(exited.DebugString(), before.DebugString());
  EXPECT_OK(ReadLog(exited.log_path()));
  // The address is free again: nothing of the network is left (the oracle sees the rest).
  EXPECT_OK(client().StopPod(pod().id()));
  // The boot that the next start finds is this one again.
  ASSERT_NO_FATAL_FAILURE(Stop());
  ASSERT_NO_FATAL_FAILURE(StartAgain());
  ASSERT_OK_AND_ASSIGN(const auto still, client().ContainerStatus(running_));
  EXPECT_THAT(still.message(), HasSubstr("rebooted"));
}

TEST_F(RecoveryTest, I_14_MonitorThatHangsHoldsUpNoStartAndIsReadLater) {
  ASSERT_OK_AND_ASSIGN(Pod hung, Pod::Run(client(), MakePodConfig(Name("-hung"))));
  ASSERT_OK_AND_ASSIGN(const std::string hidden, hung.RunContainer(MakeProbe("c", {"sleep"})));
  const pid_t monitor = MonitorOf(hung.id());
  ASSERT_GT(monitor, 0);
  ASSERT_OK_AND_ASSIGN(Pod well, Pod::Run(client(), MakePodConfig(Name("-well"))));
  ASSERT_OK_AND_ASSIGN(const std::string seen, well.RunContainer(MakeProbe("c", {"sleep"})));
  ASSERT_EQ(kill(monitor, SIGSTOP), 0);
  ASSERT_NO_FATAL_FAILURE(Stop());
  ASSERT_NO_FATAL_FAILURE(StartAgain());
  ASSERT_OK_AND_ASSIGN(const auto unread, client().ContainerStatus(hidden));
  EXPECT_EQ(unread.state(), cri::CONTAINER_UNKNOWN);
  const auto is_running = [&](const std::string& id) {
    const auto status = client().ContainerStatus(id);
    return status.ok() && status->state() == cri::CONTAINER_RUNNING;
  };
  // At once, unless the node itself stands still for as long as a start waits for a monitor.
  EXPECT_TRUE(Eventually(absl::Seconds(30), [&] { return is_running(seen); }));
  ASSERT_OK_AND_ASSIGN(const auto pods, client().ListPods());
  EXPECT_EQ(pods.size(), 2u);
  ASSERT_EQ(kill(monitor, SIGCONT), 0);
  EXPECT_TRUE(Eventually(absl::Seconds(30), [&] { return is_running(hidden); }));
  ASSERT_OK_AND_ASSIGN(const auto exec, client().Exec(hidden, {"/probe", "exit", "4"}));
  EXPECT_EQ(exec.exit_code(), 4);
}

// Nothing of it is known to run, and nobody could tell.
TEST_F(RecoveryTest, I_14_PodOfAMonitorThatHangsCanBeStoppedAndRemovedWhole) {
  ASSERT_OK_AND_ASSIGN(Pod idle, Pod::Run(client(), MakePodConfig(Name("-idle"))));
  ASSERT_OK_AND_ASSIGN(const std::string made, idle.Create(MakeProbe("c", {"sleep"})));
  ASSERT_OK_AND_ASSIGN(Pod busy, Pod::Run(client(), MakePodConfig(Name("-busy"))));
  ASSERT_OK_AND_ASSIGN(const std::string runs, busy.RunContainer(MakeProbe("c", {"sleep"})));
  const std::vector<MonitorProcess> monitors = MonitorProcesses();
  ASSERT_GE(monitors.size(), 2u);
  ASSERT_NO_FATAL_FAILURE(Stop());
  for (const MonitorProcess& monitor : monitors) ASSERT_EQ(kill(monitor.pid, SIGSTOP), 0);
  ASSERT_NO_FATAL_FAILURE(StartAgain());
  for (const std::string& id : {made, runs}) EXPECT_CODE(client().Remove(id), kUnavailable);
  EXPECT_OK(client().StopPod(idle.id()));
  EXPECT_OK(client().StopPod(busy.id()));
  ASSERT_OK_AND_ASSIGN(const auto status, client().ContainerStatus(runs));
  EXPECT_EQ(status.state(), cri::CONTAINER_EXITED);
  EXPECT_EQ(status.reason(), "Unknown");
  EXPECT_EQ(ProcessWith("sleep"), 0);
  for (const std::string& id : {made, runs}) EXPECT_OK(client().Remove(id));
  EXPECT_OK(client().RemovePod(idle.id()));
  EXPECT_OK(client().RemovePod(busy.id()));
}

// By its record the pod has a user namespace, by its monitor it has none.
TEST_F(RecoveryTest, ContainerOfAPodWithoutItsUserNamespaceIsNotStartedInTheNodes) {
  cri::RunPodSandboxRequest request;
  *request.mutable_config() = MakePodConfig(Name());
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), request.config()));
  ASSERT_NO_FATAL_FAILURE(Stop());
  cri::UserNamespace& user = *NamespaceOptions(*request.mutable_config())->mutable_userns_options();
  user.set_mode(cri::POD);
  for (cri::IDMapping* mapping : {user.add_uids(), user.add_gids()}) {
    mapping->set_host_id(65536);
    mapping->set_length(65536);
  }
  Change(absl::StrCat("UPDATE pods SET config = x'",
                      absl::BytesToHexString(request.SerializeAsString()), "'"));
  ASSERT_NO_FATAL_FAILURE(StartAgain());
  cri::ContainerConfig config = MakeProbe("c", {"sleep"});
  *NamespaceOptions(config)->mutable_userns_options() = user;
  ASSERT_OK_AND_ASSIGN(const std::string id, pod.Create(config));
  const absl::Status started = client().Start(id);
  EXPECT_CODE(started, kFailedPrecondition);
  EXPECT_THAT(std::string(started.message()), HasSubstr("no user namespace"));
  EXPECT_EQ(ProcessWith("sleep"), 0);
}

// The least that the kernel lets a socket's buffer be (socket(7), SO_SNDBUF), for all that the
// monitor sends.
void LeaveLittleRoom(pid_t monitor) {
  const UniqueFd process(syscall(SYS_pidfd_open, monitor, 0));
  ASSERT_TRUE(process.valid());
  int sockets = 0;
  for (const auto& entry : fs::directory_iterator(absl::StrCat("/proc/", monitor, "/fd"))) {
    int number = -1;
    ASSERT_TRUE(absl::SimpleAtoi(entry.path().filename().string(), &number));
    const UniqueFd theirs(syscall(SYS_pidfd_getfd, process.get(), number, 0));
    const int least = 1;
    if (setsockopt(theirs.get(), SOL_SOCKET, SO_SNDBUF, &least, sizeof(least)) == 0) ++sockets;
  }
  EXPECT_GT(sockets, 0);
}

// The monitor hangs up on a berthd that does not read, and lives.
TEST_F(RecoveryTest, I_05_PodThatWasHungUpOnLivesAndItsExitsAreKnown) {
  constexpr int kMore = 12;  // than a watch holds with so little room
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), MakePodConfig(Name())));
  ASSERT_OK_AND_ASSIGN(const std::string stays, pod.RunContainer(MakeProbe("stays", {"sleep"})));
  std::map<std::string, pid_t> dies;
  for (int i = 0; i < kMore; ++i) {
    ASSERT_OK_AND_ASSIGN(const std::string id,
                         pod.RunContainer(MakeProbe(absl::StrCat("c", i), {"sleep"})));
    cri::ContainerStatusRequest request;
    request.set_container_id(id);
    request.set_verbose(true);
    ASSERT_OK_AND_ASSIGN(const auto status, client().Call(&Runtime::ContainerStatus, request));
    dies[id] = Json::parse(status.info().at("info"), nullptr, false).value("pid", 0);
    ASSERT_GT(dies[id], 0);
  }
  ASSERT_NO_FATAL_FAILURE(LeaveLittleRoom(MonitorOf(pod.id())));
  const size_t logged = node().daemon().Log().size();
  ASSERT_EQ(kill(node().daemon().pid(), SIGSTOP), 0);
  for (const auto& [id, pid] : dies) EXPECT_EQ(kill(pid, SIGKILL), 0);
  for (const auto& [id, pid] : dies) {
    const std::string record = absl::StrCat(Dir(), "/state/pods/", pod.id(), "/", id, ".exit");
    EXPECT_TRUE(Eventually(absl::Seconds(30), [&] { return fs::exists(record); })) << id;
  }
  ASSERT_EQ(kill(node().daemon().pid(), SIGCONT), 0);
  for (const auto& [id, pid] : dies) {
    ASSERT_OK_AND_ASSIGN(const auto status, client().WaitExit(id));
    EXPECT_EQ(status.exit_code(), 128 + SIGKILL);
    EXPECT_EQ(status.reason(), "Error");
  }
  EXPECT_TRUE(Eventually(absl::Seconds(30), [&] {
    return absl::StrContains(node().daemon().Log().substr(logged), "pod is watched again");
  }));
  ASSERT_OK_AND_ASSIGN(const auto shown, client().PodStatus(pod.id()));
  EXPECT_EQ(shown.state(), cri::SANDBOX_READY);
  ASSERT_OK_AND_ASSIGN(const auto exec, client().Exec(stays, {"/probe", "exit", "3"}));
  EXPECT_EQ(exec.exit_code(), 3);
  EXPECT_OK(client().Stop(stays, 30));
  ASSERT_OK_AND_ASSIGN(const auto stopped, client().ContainerStatus(stays));
  EXPECT_EQ(stopped.state(), cri::CONTAINER_EXITED);
}

TEST_F(RecoveryTest, ThousandContainersAreListedRightlyAfterAKill) {
  constexpr int kPods = 10, kPerPod = 100;
  std::vector<std::optional<Pod>> pods(kPods);
  std::vector<std::thread> makers;
  for (int i = 0; i < kPods; ++i) {
    makers.emplace_back([&, i] {
      cri::PodSandboxConfig config = MakePodConfig(Name(absl::StrCat("-", i)));
      NamespaceOptions(config)->set_network(cri::NODE);
      auto pod = Pod::Run(client(), config);
      ASSERT_OK(pod);
      ASSERT_OK(pod->RunContainer(MakeProbe("runs", {"sleep"})));
      ASSERT_OK(pod->RunToEnd(MakeProbe("ends", {"exit", "3"})));
      for (int n = 2; n < kPerPod; ++n)
        ASSERT_OK(pod->Create(MakeProbe(absl::StrCat("c", n), {"sleep"})));
      pods[i] = std::move(*pod);
    });
  }
  for (std::thread& maker : makers) maker.join();
  const auto count = [&] {
    std::map<cri::ContainerState, int> counts;
    const auto listed = client().ListContainers();
    EXPECT_OK(listed);
    if (listed.ok()) {
      for (const cri::Container& each : *listed) ++counts[each.state()];
    }
    return counts;
  };
  const std::map<cri::ContainerState, int> before = count();
  EXPECT_EQ(before.at(cri::CONTAINER_RUNNING), kPods);
  EXPECT_EQ(before.at(cri::CONTAINER_EXITED), kPods);
  EXPECT_EQ(before.at(cri::CONTAINER_CREATED), kPods * (kPerPod - 2));
  for (const bool lost : {false, true}) {
    ASSERT_NO_FATAL_FAILURE(Stop());
    if (lost) LoseDatabase();
    const absl::Time begin = absl::Now();
    ASSERT_NO_FATAL_FAILURE(StartAgain());
    const std::map<cri::ContainerState, int> after = count();
    const absl::Duration took = absl::Now() - begin;
    EXPECT_EQ(after, before);
    std::cout << "start to list of " << kPods * kPerPod << " containers"
              << (lost ? ", database lost: " : ": ") << absl::FormatDuration(took) << std::endl;
    RecordProperty(lost ? "rebuilt_ms" : "started_ms",
                   absl::StrCat(absl::ToInt64Milliseconds(took)));
  }
}

}  // namespace
}  // namespace berth::e2e
