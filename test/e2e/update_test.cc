// Resources: in the cgroup, in the status, and changed in place.
#include <gmock/gmock.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "test/e2e/probed.h"
#include "test/e2e/text_file.h"
#include "test/e2e/with_pod.h"

namespace berth::e2e {
namespace {

using ::testing::AnyOf;
using ::testing::HasSubstr;

class UpdateTest : public WithPod<ProbedTest> {
 protected:
  absl::Status Update(const std::string& id, const cri::LinuxContainerResources& resources) {
    cri::UpdateContainerResourcesRequest request;
    request.set_container_id(id);
    *request.mutable_linux() = resources;
    return client().Call(&Runtime::UpdateContainerResources, request).status();
  }
  cri::LinuxContainerResources Shown(const std::string& id) {
    const auto status = client().ContainerStatus(id);
    EXPECT_OK(status);
    return status.ok() ? status->resources().linux() : cri::LinuxContainerResources();
  }
  static std::string Memory(const std::string& id) {
    return OnV2() ? CgroupFile(id, "", "memory.max")
                  : CgroupFile(id, "memory", "memory.limit_in_bytes");
  }
  static std::string Quota(const std::string& id) {
    return OnV2() ? CgroupFile(id, "", "cpu.max") : CgroupFile(id, "cpu", "cpu.cfs_quota_us");
  }
  static std::string QuotaText(int64_t quota) {
    return OnV2() ? absl::StrCat(quota, " 100000") : absl::StrCat(quota);
  }
};

// A v2 kernel without the controller (User-mode Linux) must refuse what it cannot pin.
bool HasCpuset() {
  const std::string names = ContentOf("/sys/fs/cgroup/cgroup.controllers");
  return names.empty() || absl::StrContains(names, "cpuset");  // v1 has no such file
}

TEST_F(UpdateTest, PinningWithoutTheControllerIsRefused) {
  if (HasCpuset()) GTEST_SKIP() << "the kernel has a cpuset controller";
  cri::ContainerConfig config = MakeKubeletProbe("c", {"sleep"});
  config.mutable_linux()->mutable_resources()->set_cpuset_cpus("0");
  EXPECT_CODE(pod().RunContainer(config), kFailedPrecondition);
}

TEST_F(UpdateTest, StatusShowsAllThatWasGiven) {
  if (!HasCpuset()) GTEST_SKIP() << "the kernel has no cpuset controller";
  cri::ContainerConfig config = MakeKubeletProbe("c", {"sleep"});
  auto* resources = config.mutable_linux()->mutable_resources();
  resources->set_cpuset_cpus("0");
  resources->set_cpuset_mems("0");
  ASSERT_OK_AND_ASSIGN(const std::string id, pod().RunContainer(config));
  const cri::LinuxContainerResources shown = Shown(id);
  EXPECT_EQ(shown.cpu_shares(), 256);
  EXPECT_EQ(shown.cpu_period(), 100000);
  EXPECT_EQ(shown.cpu_quota(), 50000);
  EXPECT_EQ(shown.memory_limit_in_bytes(), 64 * kMiB);
  EXPECT_EQ(shown.memory_swap_limit_in_bytes(), 64 * kMiB);
  EXPECT_EQ(shown.oom_score_adj(), 998);
  EXPECT_EQ(shown.cpuset_cpus(), "0");
  EXPECT_EQ(shown.cpuset_mems(), "0");
  EXPECT_EQ(shown.hugepage_limits_size(), 2);
}

TEST_F(UpdateTest, CpusAndMemoryNodesArePinned) {
  if (!HasCpuset()) GTEST_SKIP() << "the kernel has no cpuset controller";
  cri::ContainerConfig config = MakeKubeletProbe("c", {"sleep"});
  config.mutable_linux()->mutable_resources()->set_cpuset_cpus("0");
  config.mutable_linux()->mutable_resources()->set_cpuset_mems("0");
  ASSERT_OK_AND_ASSIGN(const std::string id, pod().RunContainer(config));
  EXPECT_EQ(CgroupFile(id, "cpuset", "cpuset.cpus"), "0");
  EXPECT_EQ(CgroupFile(id, "cpuset", "cpuset.mems"), "0");
}

TEST_F(UpdateTest, HugepagesAreLimitedToNothing) {
  ASSERT_OK_AND_ASSIGN(const std::string id, pod().RunContainer(MakeKubeletProbe("c", {"sleep"})));
  std::string limit = CgroupFile(id, "hugetlb", "hugetlb.2MB.limit_in_bytes");
  if (OnV2()) limit = CgroupFile(id, "", "hugetlb.2MB.max");
  if (limit.starts_with("no ")) limit = CgroupFile(id, "unified", "hugetlb.2MB.max");  // hybrid
  if (limit.starts_with("no ")) GTEST_SKIP() << "no hugetlb controller here: " << limit;
  EXPECT_EQ(limit, "0");
}

TEST_F(UpdateTest, GoesUpAndDown) {
  ASSERT_OK_AND_ASSIGN(const std::string id, pod().RunContainer(MakeKubeletProbe("c", {"sleep"})));
  for (const int64_t factor : {2, 1}) {
    cri::LinuxContainerResources resources;
    resources.set_memory_limit_in_bytes(48 * kMiB * factor);
    resources.set_memory_swap_limit_in_bytes(48 * kMiB * factor);
    resources.set_cpu_quota(20000 * factor);
    resources.set_cpu_period(100000);
    resources.set_cpu_shares(200 * factor);
    ASSERT_OK(Update(id, resources));
    EXPECT_EQ(Memory(id), absl::StrCat(48 * kMiB * factor));
    EXPECT_EQ(Quota(id), QuotaText(20000 * factor));
    const cri::LinuxContainerResources shown = Shown(id);
    EXPECT_EQ(shown.memory_limit_in_bytes(), 48 * kMiB * factor);
    EXPECT_EQ(shown.cpu_quota(), 20000 * factor);
    EXPECT_EQ(shown.cpu_shares(), 200 * factor);
    EXPECT_EQ(shown.oom_score_adj(), 998) << "what is not named stays";
  }
}

TEST_F(UpdateTest, UnnamedFieldsStay) {
  ASSERT_OK_AND_ASSIGN(const std::string id, pod().RunContainer(MakeKubeletProbe("c", {"sleep"})));
  cri::LinuxContainerResources resources;
  resources.set_cpu_shares(512);
  ASSERT_OK(Update(id, resources));
  EXPECT_EQ(Memory(id), absl::StrCat(64 * kMiB));
  EXPECT_EQ(Quota(id), QuotaText(50000));
  EXPECT_EQ(Shown(id).memory_limit_in_bytes(), 64 * kMiB);
  EXPECT_EQ(Shown(id).cpu_shares(), 512);
}

TEST_F(UpdateTest, QuotaMayBeLifted) {
  ASSERT_OK_AND_ASSIGN(const std::string id, pod().RunContainer(MakeKubeletProbe("c", {"sleep"})));
  cri::LinuxContainerResources resources;
  resources.set_cpu_quota(-1);
  ASSERT_OK(Update(id, resources));
  EXPECT_EQ(Quota(id), OnV2() ? "max 100000" : "-1");
}

TEST_F(UpdateTest, ProcessSeesTheNewLimits) {
  ASSERT_OK_AND_ASSIGN(const std::string id, pod().RunContainer(MakeKubeletProbe("c", {"sleep"})));
  cri::LinuxContainerResources resources;
  resources.set_memory_limit_in_bytes(96 * kMiB);
  resources.set_memory_swap_limit_in_bytes(96 * kMiB);
  ASSERT_OK(Update(id, resources));
  ASSERT_OK_AND_ASSIGN(const Json report, pod().ExecForJson(id, {"report"}));
  const char* file =
      OnV2() ? "/sys/fs/cgroup/memory.max" : "/sys/fs/cgroup/memory/memory.limit_in_bytes";
  EXPECT_EQ(report["cgroup_files"].value(file, ""), absl::StrCat(96 * kMiB, "\n"));
}

TEST_F(UpdateTest, RefusedValuesLeaveTheOldOnes) {
  ASSERT_OK_AND_ASSIGN(const std::string id, pod().RunContainer(MakeKubeletProbe("c", {"sleep"})));
  const std::string memory = Memory(id), quota = Quota(id);
  const std::string before = Shown(id).SerializeAsString();
  cri::LinuxContainerResources swap, cpus, negative, page;
  swap.set_cpu_quota(30000);
  swap.set_memory_limit_in_bytes(32 * kMiB);
  swap.set_memory_swap_limit_in_bytes(16 * kMiB);
  cpus.set_memory_limit_in_bytes(32 * kMiB);
  cpus.set_cpu_quota(30000);
  cpus.set_cpuset_cpus("9999");
  negative.set_memory_limit_in_bytes(-5);
  page.set_cpu_quota(30000);
  page.add_hugepage_limits()->set_page_size("../../x");
  for (const auto& resources : {swap, cpus, negative, page}) {
    EXPECT_FALSE(Update(id, resources).ok()) << resources.ShortDebugString();
    EXPECT_EQ(Memory(id), memory) << resources.ShortDebugString();
    EXPECT_EQ(Quota(id), quota) << resources.ShortDebugString();
    EXPECT_EQ(Shown(id).SerializeAsString(), before) << resources.ShortDebugString();
  }
}

TEST_F(UpdateTest, CreatedContainerStartsWithTheNewLimits) {
  ASSERT_OK_AND_ASSIGN(const std::string id, pod().Create(MakeKubeletProbe("c", {"sleep"})));
  cri::LinuxContainerResources resources;
  resources.set_memory_limit_in_bytes(40 * kMiB);
  resources.set_memory_swap_limit_in_bytes(40 * kMiB);
  ASSERT_OK(Update(id, resources));
  EXPECT_EQ(Shown(id).memory_limit_in_bytes(), 40 * kMiB);
  ASSERT_OK(client().Start(id));
  EXPECT_EQ(Memory(id), absl::StrCat(40 * kMiB));
}

TEST_F(UpdateTest, ExitedContainerIsFineAndUnknownIsNotFound) {
  ASSERT_OK_AND_ASSIGN(const FinishedContainer finished,
                       pod().RunToEnd(MakeKubeletProbe("c", {"exit", "0"})));
  cri::LinuxContainerResources resources;
  resources.set_cpu_shares(300);
  EXPECT_OK(Update(finished.id, resources));
  EXPECT_CODE(Update("0123456789abcdef", resources), kNotFound);
}

TEST_F(UpdateTest, OutlivesARestartOfTheDaemon) {
  ASSERT_OK_AND_ASSIGN(const std::string id, pod().RunContainer(MakeKubeletProbe("c", {"sleep"})));
  cri::LinuxContainerResources resources;
  resources.set_memory_limit_in_bytes(72 * kMiB);
  resources.set_memory_swap_limit_in_bytes(72 * kMiB);
  ASSERT_OK(Update(id, resources));
  ASSERT_OK(node().daemon().Kill());
  ASSERT_OK(node().daemon().StartAgain());
  node().Reconnect();
  EXPECT_EQ(Shown(id).memory_limit_in_bytes(), 72 * kMiB);
}

TEST_F(UpdateTest, PodResourcesAreTakenAndUnknownPodsAreNotFound) {
  cri::UpdatePodSandboxResourcesRequest request;
  request.set_pod_sandbox_id(pod().id());
  request.mutable_resources()->set_memory_limit_in_bytes(256 * kMiB);
  request.mutable_overhead()->set_cpu_shares(10);
  EXPECT_OK(client().Call(&Runtime::UpdatePodSandboxResources, request));
  request.set_pod_sandbox_id("0123456789abcdef");
  EXPECT_CODE(client().Call(&Runtime::UpdatePodSandboxResources, request), kNotFound);
}

TEST_F(UpdateTest, UnifiedKeysAreFileNames) {
  for (const char* key : {"../memory.max", "a/b", "", "cgroup.procs"}) {
    cri::ContainerConfig config = MakeKubeletProbe("c", {"sleep"});
    (*config.mutable_linux()->mutable_resources()->mutable_unified())[key] = "1";
    EXPECT_FALSE(pod().RunContainer(config).ok()) << "\"" << key << "\"";
    ASSERT_OK_AND_ASSIGN(const auto all, client().ListContainers());
    for (const auto& left : all) EXPECT_OK(client().Remove(left.id()));
  }
}

TEST_F(UpdateTest, UnifiedValueWinsOverAComputedOne) {
  if (!OnV2()) GTEST_SKIP() << "unified values are for cgroup v2";
  cri::ContainerConfig config = MakeKubeletProbe("c", {"sleep"});
  (*config.mutable_linux()->mutable_resources()->mutable_unified())["memory.max"] = "73400320";
  (*config.mutable_linux()->mutable_resources()->mutable_unified())["memory.oom.group"] = "1";
  ASSERT_OK_AND_ASSIGN(const std::string id, pod().RunContainer(config));
  EXPECT_EQ(Memory(id), "73400320");
  EXPECT_EQ(CgroupFile(id, "", "memory.oom.group"), "1");
}

TEST_F(UpdateTest, CgroupParentOfTheOtherDriverIsRefused) {
  cri::PodSandboxConfig config = MakePodConfig(Name("-slice"));
  config.mutable_linux()->set_cgroup_parent("/kubepods.slice/kubepods-podx.slice");
  EXPECT_CODE(client().RunPod(config), kInvalidArgument);
}

TEST_F(UpdateTest, RuntimeConfigNamesTheDriver) {
  ASSERT_OK_AND_ASSIGN(const auto config,
                       client().Call(&Runtime::RuntimeConfig, cri::RuntimeConfigRequest()));
  EXPECT_EQ(config.linux().cgroup_driver(), cri::CGROUPFS);
}

TEST_F(UpdateTest, CgroupNamespaceIsPrivate) {
  ASSERT_OK_AND_ASSIGN(const Json report, pod().RunForJson(MakeKubeletProbe("c", {"report"})));
  EXPECT_NE(report["namespaces"]["cgroup"], OwnNamespace("cgroup"));
  EXPECT_THAT(report.value("cgroup", ""), testing::Not(HasSubstr(NodeName())));
}

}  // namespace
}  // namespace berth::e2e
