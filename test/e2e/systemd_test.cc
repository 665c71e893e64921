// The systemd cgroup driver on a machine whose PID 1 is systemd: pods are scopes below the slices
// that the kubelet names. hack/systemd runs these; elsewhere they are skipped.
#include <gmock/gmock.h>

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "test/e2e/own_node.h"
#include "test/e2e/pod.h"
#include "test/e2e/subprocess.h"
#include "test/e2e/text_file.h"

namespace berth::e2e {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

constexpr char kParent[] = "/kubepods.slice/kubepods-burstable.slice";
constexpr char kDefaultSlice[] = "berthe2e.slice";

std::string LineOf(const fs::path& path) {
  if (!fs::exists(path)) return absl::StrCat("no ", path.string());
  return std::string(absl::StripAsciiWhitespace(ContentOf(path)));
}

// What systemctl prints, or how it failed.
std::string Systemctl(const std::vector<std::string>& arguments) {
  const std::string output = absl::StrCat(NodeDir(), "/systemctl");
  fs::remove(output);
  std::vector<std::string> argv = {"/bin/systemctl", "--no-pager"};
  argv.insert(argv.end(), arguments.begin(), arguments.end());
  auto process = Subprocess::Start({.argv = argv, .output_path = output});
  if (!process.ok()) return process.status().ToString();
  const std::optional<int> code = process->Wait(absl::Minutes(1));
  std::string text(absl::StripAsciiWhitespace(process->Output()));
  fs::remove(output);
  return code == 0 ? text : absl::StrCat("systemctl exits with ", code.value_or(-1), ": ", text);
}

std::string Property(const std::string& unit, const std::string& name) {
  return Systemctl({"show", "--value", absl::StrCat("--property=", name), unit});
}

std::string ScopeOf(const Pod& pod) { return absl::StrCat("berth-", pod.id(), ".scope"); }

fs::path ScopeDir(const Pod& pod) {
  return absl::StrCat("/sys/fs/cgroup", kParent, "/", ScopeOf(pod));
}

class SystemdTest : public E2eTest {
 protected:
  void SetUp() override {
    if (!MachineIsOwn() || LineOf("/proc/1/comm") != "systemd")
      GTEST_SKIP() << "systemd is not PID 1 of a machine of the tests' own";
    E2eTest::SetUp();
    if (HasFatalFailure()) return;
    auto own = OwnNode::StartWithSystemd("systemd", kDefaultSlice);
    ASSERT_OK(own);
    own_.emplace(*std::move(own));
  }
  void TearDown() override {
    own_.reset();
    E2eTest::TearDown();
  }
  Client& systemd_client() { return own_->client(); }
  absl::StatusOr<Pod> RunPod() {
    cri::PodSandboxConfig config = MakePodConfig(Name());
    config.mutable_linux()->set_cgroup_parent(kParent);
    NamespaceOptions(config)->set_pid(cri::CONTAINER);
    return Pod::Run(systemd_client(), config);
  }
  // The probe image by its name: the test's own daemon has it too.
  static cri::ContainerConfig Probe(const std::vector<std::string>& arguments) {
    cri::ContainerConfig config = MakeProbe("c", arguments);
    NamespaceOptions(config)->set_pid(cri::CONTAINER);
    auto* resources = config.mutable_linux()->mutable_resources();
    resources->set_memory_limit_in_bytes(64 * kMiB);
    resources->set_memory_swap_limit_in_bytes(64 * kMiB);
    resources->set_cpu_period(100000);
    resources->set_cpu_quota(50000);
    return config;
  }
  std::optional<OwnNode> own_;
};

TEST_F(SystemdTest, RuntimeConfigNamesTheDriver) {
  ASSERT_OK_AND_ASSIGN(const auto config,
                       systemd_client().Call(&Runtime::RuntimeConfig, cri::RuntimeConfigRequest()));
  EXPECT_EQ(config.linux().cgroup_driver(), cri::SYSTEMD);
}

TEST_F(SystemdTest, PodIsADelegatedScopeInItsSlice) {
  ASSERT_OK_AND_ASSIGN(Pod pod, RunPod());
  EXPECT_EQ(Property(ScopeOf(pod), "ActiveState"), "active");
  EXPECT_EQ(Property(ScopeOf(pod), "Slice"), "kubepods-burstable.slice");
  EXPECT_EQ(Property(ScopeOf(pod), "Delegate"), "yes");
  EXPECT_EQ(Property(ScopeOf(pod), "ControlGroup"), absl::StrCat(kParent, "/", ScopeOf(pod)));
  EXPECT_EQ(LineOf(ScopeDir(pod) / "cgroup.procs"), "") << "the parked process is still there";
}

TEST_F(SystemdTest, PodWithoutAParentGoesToTheConfiguredSlice) {
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(systemd_client(), MakePodConfig(Name())));
  EXPECT_EQ(Property(ScopeOf(pod), "Slice"), kDefaultSlice);
}

TEST_F(SystemdTest, ContainerIsLimitedBelowTheScope) {
  ASSERT_OK_AND_ASSIGN(Pod pod, RunPod());
  ASSERT_OK_AND_ASSIGN(const std::string id, pod.RunContainer(Probe({"sleep"})));
  const fs::path dir = ScopeDir(pod) / id;
  EXPECT_EQ(LineOf(dir / "memory.max"), absl::StrCat(64 * kMiB));
  EXPECT_EQ(LineOf(dir / "cpu.max"), "50000 100000");
  const std::string pid = LineOf(dir / "cgroup.procs");
  EXPECT_EQ(LineOf(absl::StrCat("/proc/", pid, "/cgroup")),
            absl::StrCat("0::", kParent, "/", ScopeOf(pod), "/", id));
  ASSERT_OK_AND_ASSIGN(const Json report, pod.ExecForJson(id, {"report"}));
  EXPECT_EQ(absl::StripAsciiWhitespace(report.value("cgroup", "")).substr(0, 4), "0::/");
  EXPECT_THAT(report.value("cgroup", ""), testing::Not(HasSubstr("kubepods")));
}

TEST_F(SystemdTest, ExecRunsAndUpdateChangesTheLimits) {
  ASSERT_OK_AND_ASSIGN(Pod pod, RunPod());
  ASSERT_OK_AND_ASSIGN(const std::string id, pod.RunContainer(Probe({"sleep"})));
  ASSERT_OK_AND_ASSIGN(const auto exec, systemd_client().Exec(id, {"/probe", "exit", "7"}));
  EXPECT_EQ(exec.exit_code(), 7);
  cri::UpdateContainerResourcesRequest request;
  request.set_container_id(id);
  request.mutable_linux()->set_memory_limit_in_bytes(96 * kMiB);
  request.mutable_linux()->set_memory_swap_limit_in_bytes(96 * kMiB);
  request.mutable_linux()->set_cpu_quota(20000);
  ASSERT_OK(systemd_client().Call(&Runtime::UpdateContainerResources, request));
  EXPECT_EQ(LineOf(ScopeDir(pod) / id / "memory.max"), absl::StrCat(96 * kMiB));
  EXPECT_EQ(LineOf(ScopeDir(pod) / id / "cpu.max"), "20000 100000");
}

TEST_F(SystemdTest, DaemonReloadLeavesTheLimits) {
  ASSERT_OK_AND_ASSIGN(Pod pod, RunPod());
  ASSERT_OK_AND_ASSIGN(const std::string id, pod.RunContainer(Probe({"sleep"})));
  ASSERT_EQ(Systemctl({"daemon-reload"}), "");
  EXPECT_EQ(LineOf(ScopeDir(pod) / id / "memory.max"), absl::StrCat(64 * kMiB));
  EXPECT_EQ(LineOf(ScopeDir(pod) / id / "cpu.max"), "50000 100000");
  EXPECT_EQ(Property(ScopeOf(pod), "ActiveState"), "active");
  cri::ContainerConfig second = Probe({"sleep"});
  second.mutable_metadata()->set_name("second");
  second.set_log_path("second/0.log");
  ASSERT_OK_AND_ASSIGN(const std::string other, pod.RunContainer(second));
  EXPECT_EQ(LineOf(ScopeDir(pod) / other / "memory.max"), absl::StrCat(64 * kMiB));
}

TEST_F(SystemdTest, MemoryHogIsOomKilled) {
  ASSERT_OK_AND_ASSIGN(Pod pod, RunPod());
  cri::ContainerConfig config = Probe({"eat-memory", absl::StrCat(100 * kMiB)});
  config.mutable_linux()->mutable_resources()->set_memory_limit_in_bytes(15 * kMiB);
  config.mutable_linux()->mutable_resources()->set_memory_swap_limit_in_bytes(15 * kMiB);
  ASSERT_OK_AND_ASSIGN(const FinishedContainer finished, pod.RunToEnd(config));
  EXPECT_EQ(finished.status.exit_code(), 137);
  EXPECT_EQ(finished.status.reason(), "OOMKilled");
  EXPECT_EQ(Property(ScopeOf(pod), "ActiveState"), "active") << "the pod outlives its container";
}

TEST_F(SystemdTest, RemovedPodLeavesNoUnitAndNoCgroup) {
  ASSERT_OK_AND_ASSIGN(Pod pod, RunPod());
  ASSERT_OK(pod.RunContainer(Probe({"sleep"})));
  ASSERT_TRUE(fs::exists(ScopeDir(pod)));
  ASSERT_OK(systemd_client().StopPod(pod.id()));
  ASSERT_OK(systemd_client().RemovePod(pod.id()));
  EXPECT_FALSE(fs::exists(ScopeDir(pod)));
  EXPECT_EQ(Systemctl({"list-units", "--all", "--plain", "--no-legend", ScopeOf(pod)}), "");
}

TEST_F(SystemdTest, RestartedDaemonKnowsThePod) {
  ASSERT_OK_AND_ASSIGN(Pod pod, RunPod());
  ASSERT_OK_AND_ASSIGN(const std::string id, pod.RunContainer(Probe({"sleep"})));
  ASSERT_OK(own_->daemon().Kill());
  ASSERT_OK(own_->daemon().StartAgain());
  ASSERT_OK_AND_ASSIGN(const auto status, systemd_client().PodStatus(pod.id()));
  EXPECT_EQ(status.state(), cri::SANDBOX_READY);
  ASSERT_OK_AND_ASSIGN(const auto container, systemd_client().ContainerStatus(id));
  EXPECT_EQ(container.state(), cri::CONTAINER_RUNNING);
  EXPECT_EQ(Property(ScopeOf(pod), "ActiveState"), "active");
  EXPECT_EQ(LineOf(ScopeDir(pod) / id / "memory.max"), absl::StrCat(64 * kMiB));
}

TEST_F(SystemdTest, CgroupfsParentIsRefusedByName) {
  cri::PodSandboxConfig config = MakePodConfig(Name());
  config.mutable_linux()->set_cgroup_parent("/kubepods/burstable/podx");
  const auto id = systemd_client().RunPod(config);
  EXPECT_CODE(id, kInvalidArgument);
  EXPECT_THAT(std::string(id.status().message()), HasSubstr("/kubepods/burstable/podx"));
}

}  // namespace
}  // namespace berth::e2e
