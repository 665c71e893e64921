// What hangs touches its own pod only (docs/reliability.md: I-06, I-14, I-31): a stopped monitor, a
// dead FUSE file system, a CNI plugin or a registry that never answers. All lists are answered
// meanwhile; how fast is reported.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <signal.h>
#include <sys/mount.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <thread>

#include "absl/strings/str_cat.h"
#include "src/base/unique_fd.h"
#include "test/e2e/cni_fixture.h"
#include "test/e2e/e2e_test.h"
#include "test/e2e/monitor_process.h"

namespace berth::e2e {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// Asks a daemon for its lists and states all the time from the construction to Stop.
class Asker {
 public:
  explicit Asker(const std::string& socket) : client_(socket), thread_([this] { Run(); }) {}
  ~Asker() { Stop(); }
  // All were answered, without an error.
  void Stop() {
    stop_ = true;
    if (!thread_.joinable()) return;
    thread_.join();
    EXPECT_FALSE(took_.empty());
    if (took_.empty()) return;
    std::sort(took_.begin(), took_.end());
    const absl::Duration p99 = took_[took_.size() * 99 / 100];
    std::cout << took_.size() << " answers while something hung, p99 " << absl::FormatDuration(p99)
              << ", slowest " << absl::FormatDuration(took_.back()) << std::endl;
    testing::Test::RecordProperty("p99_us", absl::StrCat(absl::ToInt64Microseconds(p99)));
  }

 private:
  void Run() {
    while (!stop_) {
      Ask([this] { return client_.ListPods().status(); });
      Ask([this] { return client_.ListContainers().status(); });
      Ask([this] { return client_.ListImages().status(); });
      Ask([this] { return client_.Call(&Runtime::Status, cri::StatusRequest()).status(); });
      Ask([this] {
        return client_.Call(&Runtime::ListContainerStats, cri::ListContainerStatsRequest())
            .status();
      });
    }
  }
  void Ask(const std::function<absl::Status()>& question) {
    const absl::Time begin = absl::Now();
    EXPECT_OK(question());
    took_.push_back(absl::Now() - begin);
  }

  Client client_;
  std::atomic<bool> stop_ = false;
  std::vector<absl::Duration> took_;
  std::thread thread_;
};

// A FUSE file system whose server never answers: every look into it waits.
class DeadFileSystem {
 public:
  explicit DeadFileSystem(const std::string& path)
      : path_(path), device_(open("/dev/fuse", O_RDWR | O_CLOEXEC)) {
    std::filesystem::create_directories(path);
    const std::string options =
        absl::StrCat("fd=", device_.get(), ",rootmode=40000,user_id=0,group_id=0");
    mounted_ = device_.valid() && mount("dead", path.c_str(), "fuse", 0, options.c_str()) == 0;
  }
  ~DeadFileSystem() {
    if (mounted_) {
      EXPECT_EQ(umount2(path_.c_str(), MNT_DETACH), 0);
    }
    device_.reset();  // ends all who wait
    rmdir(path_.c_str());
  }
  bool mounted() const { return mounted_; }

 private:
  const std::string path_;
  UniqueFd device_;
  bool mounted_ = false;
};

class HungPodTest : public E2eTest {
 protected:
  // Another pod's whole life, and a call into it.
  void ExpectOthersLive(const std::string& suffix) {
    auto pod = Pod::Run(client(), MakePodConfig(Name(suffix)));
    ASSERT_OK(pod);
    ASSERT_OK_AND_ASSIGN(const std::string id, pod->RunContainer(MakeProbe("c", {"sleep"})));
    ASSERT_OK_AND_ASSIGN(const auto exec, client().Exec(id, {"/probe", "exit", "3"}));
    EXPECT_EQ(exec.exit_code(), 3);
    EXPECT_OK(client().Stop(id, 30));
  }
};

TEST_F(HungPodTest, I_06_StoppedMonitorTouchesItsPodOnlyAndThePodCanBeRemoved) {
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), MakePodConfig(Name())));
  ASSERT_OK_AND_ASSIGN(const std::string id, pod.RunContainer(MakeProbe("c", {"sleep"})));
  ASSERT_OK_AND_ASSIGN(const std::string other, pod.RunContainer(MakeProbe("d", {"watch"})));
  const pid_t monitor = MonitorOf(pod.id());
  ASSERT_GT(monitor, 0);
  const size_t logged = node().daemon().Log().size();
  Asker asker(node().daemon().socket());
  ASSERT_EQ(kill(monitor, SIGSTOP), 0);
  std::thread exec([&] {
    EXPECT_FALSE(client().Exec(id, {"/probe", "exit", "0"}, 5, absl::Seconds(3)).ok());
  });
  ExpectOthersLive("-other");
  exec.join();
  EXPECT_OK(client().StopPod(pod.id()));
  for (const std::string& container : {id, other}) {
    ASSERT_OK_AND_ASSIGN(const auto status, client().ContainerStatus(container));
    EXPECT_EQ(status.state(), cri::CONTAINER_EXITED);
    EXPECT_EQ(status.reason(), "Unknown");
    EXPECT_THAT(status.message(), HasSubstr("monitor"));
  }
  EXPECT_OK(client().RemovePod(pod.id()));
  const std::string log = node().daemon().Log().substr(logged);
  EXPECT_THAT(log, HasSubstr("does not answer"));
  EXPECT_THAT(log, Not(HasSubstr("monitor of a pod is gone"))) << "it is told once";
}

// A frozen cgroup of v1 does what an uninterruptible wait does: a SIGKILL has no effect.
TEST_F(HungPodTest, I_06_MonitorThatDoesNotDieKeepsNoCallForEver) {
  const std::string frozen = "/sys/fs/cgroup/freezer/berth-e2e-frozen";
  if (access("/sys/fs/cgroup/freezer/cgroup.procs", W_OK) != 0)
    GTEST_SKIP() << "needs the freezer of cgroup v1";
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), MakePodConfig(Name())));
  const pid_t monitor = MonitorOf(pod.id());
  ASSERT_GT(monitor, 0);
  std::filesystem::create_directory(frozen);
  std::ofstream(frozen + "/cgroup.procs") << monitor;
  std::ofstream(frozen + "/freezer.state") << "FROZEN";
  const absl::Status removed = client().RemovePod(pod.id());
  EXPECT_CODE(removed, kDeadlineExceeded);
  EXPECT_THAT(std::string(removed.message()), HasSubstr(pod.id()));
  EXPECT_THAT(std::string(removed.message()), HasSubstr("does not die"));
  ExpectOthersLive("-other");
  std::ofstream(frozen + "/freezer.state") << "THAWED";
  EXPECT_OK(client().RemovePod(pod.id()));
  EXPECT_TRUE(Eventually(absl::Seconds(30), [&] { return rmdir(frozen.c_str()) == 0; }));
}

TEST_F(HungPodTest, I_31_DeadFuseVolumeTouchesItsPodOnly) {
  const std::string path = NodeDir() + "/dead";
  DeadFileSystem dead(path);
  if (!dead.mounted()) GTEST_SKIP() << "mount fuse: not possible here";
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), MakePodConfig(Name())));
  Asker asker(node().daemon().socket());
  cri::ContainerConfig config = MakeProbe("c", {"sleep"});
  cri::Mount& mount = *config.add_mounts();
  mount.set_host_path(path + "/volume");
  mount.set_container_path("/volume");
  std::atomic<bool> ended = false;
  absl::Status started;
  std::thread start([&] {
    started = pod.RunContainer(config).status();
    ended = true;
  });
  ExpectOthersLive("-other");
  EXPECT_FALSE(ended);
  start.join();
  EXPECT_CODE(started, kDeadlineExceeded);
  EXPECT_THAT(std::string(started.message()), HasSubstr(path + "/volume"));
  EXPECT_OK(client().StopPod(pod.id()));
  EXPECT_OK(client().RemovePod(pod.id()));
}

TEST_F(HungPodTest, I_35_RegistryThatHangsTouchesItsPullOnly) {
  const std::string reference = node().registry().Add(
      "hangs", "v1", Build({.layers = {{{File("f", std::string(100000, 'h'))}}}}));
  node().registry().SetFault("/v2/hangs/blobs/", StubRegistry::Fault::kHang);
  Asker asker(node().daemon().socket());
  std::thread pull([&] { EXPECT_FALSE(client().Pull(reference, absl::Seconds(8)).ok()); });
  ExpectOthersLive("-other");
  EXPECT_OK(client().Pull(node().probe_image()));
  pull.join();
}

class HungPluginTest : public CniFixture {};

TEST_F(HungPluginTest, I_06_PluginThatHangsTouchesItsPodOnly) {
  WriteNetwork(Json::array({Bridge(), Recording()}));
  ASSERT_NO_FATAL_FAILURE(StartNode("plugin_seconds = \"20\"\n"));
  ASSERT_TRUE(WaitUntilReady());
  ASSERT_OK_AND_ASSIGN(Pod well, Pod::Run(cni(), MakePodConfig(Name("-well"))));
  ASSERT_OK_AND_ASSIGN(const std::string id, well.RunContainer(MakeProbe("c", {"sleep"})));
  const std::vector<std::string> leases = Leases();
  Asker asker(daemon().socket());
  Misbehave("ADD hang");
  std::atomic<bool> ended = false;
  std::thread hung([&] {
    EXPECT_FALSE(cni().RunPod(MakePodConfig(Name("-hung"))).ok());
    ended = true;
  });
  // On the node's network, so without a plugin.
  cri::PodSandboxConfig config = MakePodConfig(Name("-other"));
  NamespaceOptions(config)->set_network(cri::NODE);
  {
    ASSERT_OK_AND_ASSIGN(Pod other, Pod::Run(cni(), config));
    ASSERT_OK_AND_ASSIGN(const auto exec, cni().Exec(id, {"/probe", "exit", "3"}));
    EXPECT_EQ(exec.exit_code(), 3);
  }
  EXPECT_FALSE(ended);
  hung.join();
  EXPECT_TRUE(Eventually(absl::Seconds(60), [&] { return Leases() == leases; }));
  asker.Stop();
}

}  // namespace
}  // namespace berth::e2e
