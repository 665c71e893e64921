// Limits, out-of-memory kills, and the figures of ContainerStats.
#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "test/e2e/probed.h"

namespace berth::e2e {
namespace {

namespace fs = std::filesystem;
using ::testing::AnyOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class ResourcesTest : public ProbedTest {
 protected:
  cri::PodSandboxConfig PodConfig() { return MakeKubeletPodConfig(Name()); }
};

TEST_F(ResourcesTest, LimitsAreInTheContainersCgroup) {
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), PodConfig()));
  ASSERT_OK_AND_ASSIGN(const std::string id, pod.RunContainer(MakeKubeletProbe("c", {"sleep"})));
  const std::string bytes = absl::StrCat(64 * kMiB);
  if (OnV2()) {
    EXPECT_EQ(CgroupFile(id, "", "memory.max"), bytes);
    EXPECT_EQ(CgroupFile(id, "", "memory.swap.max"), "0");
    EXPECT_EQ(CgroupFile(id, "", "cpu.max"), "50000 100000");
    EXPECT_THAT(CgroupFile(id, "", "cpu.weight"), testing::MatchesRegex("[0-9]+"));
    EXPECT_NE(CgroupFile(id, "", "cpu.weight"), "100");
  } else {
    EXPECT_EQ(CgroupFile(id, "memory", "memory.limit_in_bytes"), bytes);
    EXPECT_EQ(CgroupFile(id, "cpu", "cpu.cfs_quota_us"), "50000");
    EXPECT_EQ(CgroupFile(id, "cpu", "cpu.cfs_period_us"), "100000");
    EXPECT_EQ(CgroupFile(id, "cpu", "cpu.shares"), "256");
  }
}

TEST_F(ResourcesTest, ContainerIsBelowThePodsParentWhichStays) {
  const cri::PodSandboxConfig config = PodConfig();
  const auto parents = MakeCgroup(config.linux().cgroup_parent());
  {
    ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), config));
    ASSERT_OK_AND_ASSIGN(const std::string id, pod.RunContainer(MakeKubeletProbe("c", {"sleep"})));
    for (const std::string& parent : parents) {
      bool found = false;
      for (const auto& entry : fs::recursive_directory_iterator(parent)) {
        found |= entry.path().filename().string().find(id) != std::string::npos;
      }
      EXPECT_TRUE(found || parent.find("cpuset") != std::string::npos ||
                  parent.find("blkio") != std::string::npos)
          << parent;
    }
  }
  for (const std::string& parent : parents) {
    EXPECT_TRUE(fs::exists(parent)) << "the kubelet's cgroup was removed";
    bool empty = true;
    for (const auto& entry : fs::directory_iterator(parent)) empty &= !entry.is_directory();
    EXPECT_TRUE(empty) << parent;
  }
}

TEST_F(ResourcesTest, I_34_MemoryHogIsOomKilled) {
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), PodConfig()));
  cri::ContainerConfig config = MakeKubeletProbe("c", {"eat-memory", absl::StrCat(100 * kMiB)});
  auto* resources = config.mutable_linux()->mutable_resources();
  resources->set_memory_limit_in_bytes(15 * kMiB);
  resources->set_memory_swap_limit_in_bytes(15 * kMiB);
  ASSERT_OK_AND_ASSIGN(const FinishedContainer finished, pod.RunToEnd(config));
  EXPECT_EQ(finished.status.exit_code(), 137);
  EXPECT_EQ(finished.status.reason(), "OOMKilled");
}

TEST_F(ResourcesTest, KillThatIsNoOomIsAnError) {
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), PodConfig()));
  ASSERT_OK_AND_ASSIGN(const std::string id,
                       pod.RunContainer(MakeKubeletProbe("c", {"ignore-term"})));
  ASSERT_OK(client().Stop(id, 0));
  ASSERT_OK_AND_ASSIGN(const auto status, client().ContainerStatus(id));
  EXPECT_EQ(status.exit_code(), 137);
  EXPECT_EQ(status.reason(), "Error");
}

TEST_F(ResourcesTest, PidLimitOfThePodHolds) {
  cri::PodSandboxConfig config = PodConfig();
  for (const std::string& dir : MakeCgroup(config.linux().cgroup_parent())) {
    std::ofstream file(dir + "/pids.max");
    if (file) file << 30;
  }
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), config));
  ASSERT_OK_AND_ASSIGN(const FinishedContainer finished,
                       pod.RunToEnd(MakeKubeletProbe("c", {"fork-bomb", "200"})));
  EXPECT_THAT(Joined(finished.log, "stdout"), HasSubstr(" EAGAIN"));
}

TEST_F(ResourcesTest, ConfiguredPidLimitHoldsForEachContainer) {
  Daemon::Options options = Node::OptionsFor("pids", 2);
  options.more_config += "[container]\npids_limit = \"12\"\n";
  ASSERT_OK_AND_ASSIGN(Daemon daemon, Daemon::Start(options));
  {
    Client limited(daemon.socket());
    ASSERT_OK(limited.Pull(node().probe_image()));
    const cri::PodSandboxConfig config = MakePodConfig(Name());
    ASSERT_OK_AND_ASSIGN(const std::string pod, limited.RunPod(config));
    ASSERT_OK_AND_ASSIGN(const std::string id,
                         limited.Create(pod, MakeProbe("c", {"sleep"}), config));
    ASSERT_OK(limited.Start(id));
    ASSERT_OK_AND_ASSIGN(const auto exec, limited.Exec(id, {"/probe", "fork-bomb", "200"}));
    EXPECT_THAT(exec.stdout(), HasSubstr(" EAGAIN"));
    EXPECT_OK(limited.StopPod(pod));
    EXPECT_OK(limited.RemovePod(pod));
  }
  EXPECT_OK(daemon.Terminate());
  RemoveTraces(daemon);
}

TEST_F(ResourcesTest, UnifiedValuesAreWrittenOnV2) {
  if (!OnV2()) GTEST_SKIP() << "unified values are for cgroup v2";
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), PodConfig()));
  cri::ContainerConfig config = MakeKubeletProbe("c", {"sleep"});
  (*config.mutable_linux()->mutable_resources()->mutable_unified())["pids.max"] = "17";
  ASSERT_OK_AND_ASSIGN(const std::string id, pod.RunContainer(config));
  EXPECT_EQ(CgroupFile(id, "", "pids.max"), "17");
}

class StatsTest : public E2eTest {
 protected:
  absl::StatusOr<std::vector<std::string>> Listed(const cri::ContainerStatsFilter& filter) {
    cri::ListContainerStatsRequest request;
    *request.mutable_filter() = filter;
    auto response = client().Call(&Runtime::ListContainerStats, request);
    if (!response.ok()) return response.status();
    std::vector<std::string> ids;
    for (const auto& stats : response->stats()) ids.push_back(stats.attributes().id());
    return ids;
  }
  absl::StatusOr<cri::ContainerStats> Stats(const std::string& id) {
    cri::ContainerStatsRequest request;
    request.set_container_id(id);
    auto response = client().Call(&Runtime::ContainerStats, request);
    if (!response.ok()) return response.status();
    return response->stats();
  }
};

TEST_F(StatsTest, FiguresOfARunningContainer) {
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), MakeKubeletPodConfig(Name())));
  cri::ContainerConfig config = MakeKubeletProbe("c", {"eat-memory", absl::StrCat(20 * kMiB)});
  ASSERT_OK_AND_ASSIGN(const std::string id, pod.RunContainer(config));
  EXPECT_TRUE(Eventually(absl::Seconds(30), [&] {
    const auto log = ReadLog(pod.LogPath("c"));
    return log.ok() && Joined(*log, "stdout") == "eaten\n";
  }));
  // A sample of a moment ago is handed out again.
  ASSERT_TRUE(Eventually(absl::Seconds(20), [&] {
    const auto stats = Stats(id);
    return stats.ok() && stats->memory().rss_bytes().value() >= 20u * kMiB;
  }));
  ASSERT_OK_AND_ASSIGN(const auto stats, Stats(id));
  EXPECT_EQ(stats.attributes().id(), id);
  EXPECT_EQ(stats.attributes().metadata().name(), "c");
  EXPECT_EQ(stats.attributes().labels().at("io.kubernetes.container.name"), "c");
  EXPECT_GT(stats.cpu().timestamp(), 0);
  EXPECT_GT(stats.cpu().usage_core_nano_seconds().value(), 0u);
  EXPECT_GT(stats.memory().timestamp(), 0);
  EXPECT_GE(stats.memory().working_set_bytes().value(), 20u * kMiB);
  EXPECT_LE(stats.memory().working_set_bytes().value(), 64u * kMiB);
  EXPECT_GE(stats.memory().rss_bytes().value(), 20u * kMiB);
  EXPECT_GE(stats.memory().usage_bytes().value(), stats.memory().working_set_bytes().value());
  EXPECT_EQ(stats.memory().available_bytes().value(),
            64 * kMiB - stats.memory().working_set_bytes().value());
  EXPECT_GT(stats.memory().page_faults().value(), 0u);
}

TEST_F(StatsTest, ListHasRunningContainersAndObeysFilters) {
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), MakeKubeletPodConfig(Name())));
  ASSERT_OK_AND_ASSIGN(const std::string id, pod.RunContainer(MakeKubeletProbe("c", {"sleep"})));
  ASSERT_OK_AND_ASSIGN(const FinishedContainer exited,
                       pod.RunToEnd(MakeKubeletProbe("e", {"exit", "0"})));
  ASSERT_OK_AND_ASSIGN(const auto all, client().Call(&Runtime::ListContainerStats,
                                                     cri::ListContainerStatsRequest()));
  ASSERT_EQ(all.stats_size(), 1);
  EXPECT_EQ(all.stats(0).attributes().id(), id);
  cri::ContainerStatsFilter filter;
  filter.set_id(id);
  ASSERT_OK_AND_ASSIGN(auto ids, Listed(filter));
  EXPECT_THAT(ids, ElementsAre(id));
  filter.Clear();
  filter.set_pod_sandbox_id(pod.id());
  (*filter.mutable_label_selector())["io.kubernetes.container.name"] = "c";
  ASSERT_OK_AND_ASSIGN(ids, Listed(filter));
  EXPECT_THAT(ids, ElementsAre(id));
  (*filter.mutable_label_selector())["io.kubernetes.container.name"] = "other";
  ASSERT_OK_AND_ASSIGN(ids, Listed(filter));
  EXPECT_THAT(ids, IsEmpty());
}

TEST_F(StatsTest, WrittenBytesShowInTheWritableLayer) {
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), MakeKubeletPodConfig(Name())));
  ASSERT_OK_AND_ASSIGN(const std::string id, pod.RunContainer(MakeKubeletProbe("c", {"sleep"})));
  ASSERT_OK_AND_ASSIGN(const auto wrote,
                       client().Exec(id, {"/probe", "write", "/data/file", "3000000"}));
  EXPECT_EQ(wrote.exit_code(), 0);
  const bool shown = Eventually(absl::Seconds(60), [&] {
    const auto stats = Stats(id);
    return stats.ok() && stats->writable_layer().used_bytes().value() >= 3000000;
  });
  EXPECT_TRUE(shown);
  ASSERT_OK_AND_ASSIGN(const auto stats, Stats(id));
  EXPECT_EQ(access(stats.writable_layer().fs_id().mountpoint().c_str(), F_OK), 0);
  EXPECT_GT(stats.writable_layer().inodes_used().value(), 0u);
}

TEST_F(StatsTest, UnknownContainerIsNotFound) { EXPECT_CODE(Stats("0123456789ab"), kNotFound); }

}  // namespace
}  // namespace berth::e2e
