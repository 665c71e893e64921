// Statistics and metrics of the CRI, against what the probe did. Tolerances are wide on one side:
// what starting the container costs is in the figures too.
#include <gmock/gmock.h>

#include <fstream>
#include <map>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "test/e2e/own_node.h"
#include "test/e2e/probed.h"

namespace berth::e2e {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr uint64_t kMiB = 1 << 20;
constexpr uint64_t kMillisecond = 1'000'000;

class ObservedTest : public ProbedTest {
 protected:
  absl::StatusOr<cri::ContainerStats> Stats(const std::string& id) {
    cri::ContainerStatsRequest request;
    request.set_container_id(id);
    auto reply = client().Call(&Runtime::ContainerStats, request);
    if (!reply.ok()) return reply.status();
    return reply->stats();
  }
  absl::StatusOr<cri::PodSandboxStats> PodStats(const std::string& id) {
    cri::PodSandboxStatsRequest request;
    request.set_pod_sandbox_id(id);
    auto reply = client().Call(&Runtime::PodSandboxStats, request);
    if (!reply.ok()) return reply.status();
    return reply->stats();
  }
  absl::StatusOr<std::vector<std::string>> ListedPods(const cri::PodSandboxStatsFilter& filter) {
    cri::ListPodSandboxStatsRequest request;
    *request.mutable_filter() = filter;
    auto reply = client().Call(&Runtime::ListPodSandboxStats, request);
    if (!reply.ok()) return reply.status();
    std::vector<std::string> ids;
    for (const auto& stats : reply->stats()) ids.push_back(stats.attributes().id());
    return ids;
  }
  // The sum over a metric's labels; 0 where it has none.
  uint64_t MetricOf(const std::string& container, const std::string& name) {
    const auto metrics = client().Call(&Runtime::ListPodSandboxMetrics, {});
    uint64_t sum = 0;
    if (!metrics.ok()) return sum;
    for (const auto& pod : metrics->pod_metrics()) {
      for (const auto& of : pod.container_metrics()) {
        for (const cri::Metric& metric : of.metrics()) {
          if (of.container_id() == container && metric.name() == name)
            sum += metric.value().value();
        }
      }
    }
    return sum;
  }
  bool Says(const Pod& pod, const std::string& name, const std::string& text) {
    return Eventually(absl::Seconds(60), [&] {
      const auto log = ReadLog(pod.LogPath(name));
      return log.ok() && Joined(*log, "stdout") == text;
    });
  }
};

TEST_F(ObservedTest, CpuTimeIsWhatWasBurnt) {
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), MakePodConfig(Name())));
  ASSERT_OK_AND_ASSIGN(const std::string id,
                       pod.RunContainer(MakeProbe("c", {"burn-cpu", "1000"})));
  ASSERT_TRUE(Says(pod, "c", "burnt\n"));
  // The process's clock began a moment before it came into its cgroup.
  ASSERT_TRUE(Eventually(absl::Seconds(20), [&] {
    const auto stats = Stats(id);
    return stats.ok() && stats->cpu().usage_core_nano_seconds().value() >= 990 * kMillisecond;
  }));
  ASSERT_OK_AND_ASSIGN(const auto stats, Stats(id));
  EXPECT_LT(stats.cpu().usage_core_nano_seconds().value(), 2000 * kMillisecond);
  // Two samples make a rate, which falls to nothing now.
  EXPECT_TRUE(Eventually(absl::Seconds(40), [&] {
    const auto later = Stats(id);
    return later.ok() && later->cpu().has_usage_nano_cores() &&
           later->cpu().usage_nano_cores().value() < 50 * kMillisecond;
  }));
  ASSERT_OK_AND_ASSIGN(const auto of_pod, PodStats(pod.id()));
  EXPECT_GE(of_pod.linux().cpu().usage_core_nano_seconds().value(), 950 * kMillisecond);
  EXPECT_LT(of_pod.linux().cpu().usage_core_nano_seconds().value(), 2500 * kMillisecond);
}

TEST_F(ObservedTest, MemoryIsWhatWasTaken) {
  cri::ContainerConfig config = MakeProbe("c", {"eat-memory", absl::StrCat(48 * kMiB)});
  config.mutable_linux()->mutable_resources()->set_memory_limit_in_bytes(96 * kMiB);
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), MakePodConfig(Name())));
  ASSERT_OK_AND_ASSIGN(const std::string id, pod.RunContainer(config));
  ASSERT_TRUE(Says(pod, "c", "eaten\n"));
  ASSERT_TRUE(Eventually(absl::Seconds(20), [&] {
    const auto stats = Stats(id);
    return stats.ok() && stats->memory().rss_bytes().value() >= 47 * kMiB;
  }));
  ASSERT_OK_AND_ASSIGN(const auto stats, Stats(id));
  const cri::MemoryUsage& memory = stats.memory();
  for (const uint64_t bytes : {memory.usage_bytes().value(), memory.rss_bytes().value(),
                               memory.working_set_bytes().value()}) {
    EXPECT_GE(bytes, 47 * kMiB);
    EXPECT_LT(bytes, 60 * kMiB);
  }
  EXPECT_EQ(memory.available_bytes().value(), 96 * kMiB - memory.working_set_bytes().value());
  EXPECT_GT(memory.page_faults().value(), 0u);
  EXPECT_TRUE(memory.has_major_page_faults());
  ASSERT_OK_AND_ASSIGN(const auto of_pod, PodStats(pod.id()));
  EXPECT_GE(of_pod.linux().memory().working_set_bytes().value(), 47 * kMiB);
  EXPECT_LT(of_pod.linux().memory().working_set_bytes().value(), 64 * kMiB);
  EXPECT_FALSE(of_pod.linux().memory().has_available_bytes()) << "the pod itself has no limit";
}

TEST_F(ObservedTest, WritableLayerIsWhatWasWritten) {
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), MakePodConfig(Name())));
  ASSERT_OK_AND_ASSIGN(const std::string id, pod.RunContainer(MakeProbe("c", {"sleep"})));
  cri::FilesystemUsage before;
  ASSERT_TRUE(Eventually(absl::Seconds(40), [&] {
    const auto stats = Stats(id);
    if (stats.ok()) before = stats->writable_layer();
    return before.timestamp() > 0;
  }));
  ASSERT_EQ(ExecCode(id, {"write", "/big", absl::StrCat(8 * kMiB)}), 0);
  ASSERT_EQ(ExecCode(id, {"write", "/small", "1"}), 0);
  cri::FilesystemUsage after;
  ASSERT_TRUE(Eventually(absl::Seconds(40), [&] {
    const auto stats = Stats(id);
    if (stats.ok()) after = stats->writable_layer();
    return after.inodes_used().value() >= before.inodes_used().value() + 2;
  }));
  const uint64_t grown = after.used_bytes().value() - before.used_bytes().value();
  EXPECT_GE(grown, 8 * kMiB);
  EXPECT_LT(grown, 9 * kMiB);
  EXPECT_EQ(after.inodes_used().value(), before.inodes_used().value() + 2);
  EXPECT_EQ(access(after.fs_id().mountpoint().c_str(), F_OK), 0);
}

TEST_F(ObservedTest, NetworkIsWhatWasSent) {
  constexpr uint64_t kPackets = 200, kPayload = 1000, kHeaders = 42;
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), MakePodConfig(Name())));
  ASSERT_OK_AND_ASSIGN(const std::string id, pod.RunContainer(MakeProbe("c", {"sleep"})));
  ASSERT_OK_AND_ASSIGN(const auto before, PodStats(pod.id()));
  ASSERT_TRUE(before.linux().network().has_default_interface());
  EXPECT_EQ(before.linux().network().default_interface().name(), "eth0");
  EXPECT_THAT(before.linux().network().interfaces(), IsEmpty()) << "neither lo nor eth0 again";
  ASSERT_EQ(
      ExecCode(id, {"send-packets", "10.201.1.1", absl::StrCat(kPackets), absl::StrCat(kPayload)}),
      0);
  const auto sent = [&] {
    const auto now = PodStats(pod.id());
    if (!now.ok()) return uint64_t{0};
    return now->linux().network().default_interface().tx_bytes().value() -
           before.linux().network().default_interface().tx_bytes().value();
  };
  EXPECT_TRUE(
      Eventually(absl::Seconds(20), [&] { return sent() >= kPackets * (kPayload + kHeaders); }));
  EXPECT_LT(sent(), kPackets * (kPayload + kHeaders) + 50000) << "neighbours and ICMP besides";
  ASSERT_OK_AND_ASSIGN(const auto after, PodStats(pod.id()));
  EXPECT_EQ(after.linux().network().default_interface().tx_errors().value(), 0u);
}

TEST_F(ObservedTest, ReceivedPacketsAreWhatTheOtherPodSent) {
  constexpr uint64_t kPackets = 300, kPayload = 500, kHeaders = 42;
  ASSERT_OK_AND_ASSIGN(Pod to, Pod::Run(client(), MakePodConfig(Name("-to"))));
  ASSERT_OK(to.RunContainer(MakeProbe("c", {"sleep"})));
  ASSERT_OK_AND_ASSIGN(Pod from, Pod::Run(client(), MakePodConfig(Name("-from"))));
  ASSERT_OK_AND_ASSIGN(const std::string id, from.RunContainer(MakeProbe("c", {"sleep"})));
  cri::PodSandboxStatusRequest request;
  request.set_pod_sandbox_id(to.id());
  ASSERT_OK_AND_ASSIGN(const auto status, client().Call(&Runtime::PodSandboxStatus, request));
  const auto received = [&](const char* name) {
    const auto metrics = client().Call(&Runtime::ListPodSandboxMetrics, {});
    uint64_t sum = 0;
    if (!metrics.ok()) return sum;
    for (const auto& pod : metrics->pod_metrics()) {
      for (const cri::Metric& metric : pod.metrics()) {
        if (pod.pod_sandbox_id() == to.id() && metric.name() == name) sum += metric.value().value();
      }
    }
    return sum;
  };
  const uint64_t packets = received("container_network_receive_packets_total"),
                 bytes = received("container_network_receive_bytes_total");
  ASSERT_EQ(ExecCode(id, {"send-packets", status.status().network().ip(), absl::StrCat(kPackets),
                          absl::StrCat(kPayload)}),
            0);
  EXPECT_TRUE(Eventually(absl::Seconds(20), [&] {
    return received("container_network_receive_packets_total") >= packets + kPackets;
  }));
  EXPECT_LT(received("container_network_receive_packets_total"), packets + kPackets + 50)
      << "neighbours besides";
  const uint64_t grown = received("container_network_receive_bytes_total") - bytes;
  EXPECT_GE(grown, kPackets * (kPayload + kHeaders));
  EXPECT_LT(grown, kPackets * (kPayload + kHeaders) + 10000);
}

TEST_F(ObservedTest, ThePodOnTheNodesNetworkHasNoneOfItsOwn) {
  cri::PodSandboxConfig config = MakePodConfig(Name());
  NamespaceOptions(config)->set_network(cri::NODE);
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), config));
  ASSERT_OK_AND_ASSIGN(const auto stats, PodStats(pod.id()));
  EXPECT_FALSE(stats.linux().has_network());
  EXPECT_TRUE(stats.linux().has_cpu());
}

TEST_F(ObservedTest, ThePodTellsItsContainersAndProcesses) {
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), MakeKubeletPodConfig(Name())));
  ASSERT_OK_AND_ASSIGN(const std::string first, pod.RunContainer(MakeKubeletProbe("a", {"sleep"})));
  ASSERT_OK_AND_ASSIGN(const std::string second,
                       pod.RunContainer(MakeKubeletProbe("b", {"spawn-orphans", "2", "stay"})));
  ASSERT_OK(pod.Create(MakeKubeletProbe("created", {"sleep"})));
  ASSERT_TRUE(Says(pod, "b", "orphans left\n"));
  // The monitor, one container's process, and three of the other.
  ASSERT_TRUE(Eventually(absl::Seconds(20), [&] {
    const auto stats = PodStats(pod.id());
    return stats.ok() && stats->linux().process().process_count().value() == 5;
  })) << PodStats(pod.id())->DebugString();
  ASSERT_OK_AND_ASSIGN(const auto stats, PodStats(pod.id()));
  std::set<std::string> ids;
  for (const auto& container : stats.linux().containers()) {
    ids.insert(container.attributes().id());
    EXPECT_TRUE(container.has_cpu());
  }
  EXPECT_EQ(ids, (std::set<std::string>{first, second})) << "those that run";
  EXPECT_EQ(stats.attributes().metadata().name(), pod.config().metadata().name());
  EXPECT_EQ(stats.attributes().labels().size(), pod.config().labels().size());
  EXPECT_GT(stats.linux().cpu().timestamp(), 0);
  EXPECT_GT(stats.linux().memory().timestamp(), 0);
}

TEST_F(ObservedTest, PressureIsToldWhereTheKernelAccountsIt) {
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), MakePodConfig(Name())));
  ASSERT_OK_AND_ASSIGN(const std::string id, pod.RunContainer(MakeProbe("c", {"sleep"})));
  ASSERT_OK_AND_ASSIGN(const auto stats, Stats(id));
  const bool unified = OnV2() || access("/sys/fs/cgroup/unified/cgroup.procs", F_OK) == 0;
  const bool accounted = unified && access("/proc/pressure/cpu", R_OK) == 0;
  EXPECT_EQ(stats.cpu().has_psi(), accounted);
  EXPECT_EQ(stats.memory().has_psi(), accounted);
  EXPECT_EQ(stats.io().has_psi(), accounted);
}

TEST_F(ObservedTest, ListsAreFiltered) {
  cri::PodSandboxConfig labelled = MakePodConfig(Name("-a"));
  (*labelled.mutable_labels())["tier"] = "front";
  ASSERT_OK_AND_ASSIGN(Pod first, Pod::Run(client(), labelled));
  ASSERT_OK_AND_ASSIGN(Pod second, Pod::Run(client(), MakePodConfig(Name("-b"))));
  cri::PodSandboxStatsFilter by_id, by_label, by_both;
  by_id.set_id(second.id().substr(0, 20));
  (*by_label.mutable_label_selector())["tier"] = "front";
  by_both.set_id(second.id());
  (*by_both.mutable_label_selector())["tier"] = "front";
  ASSERT_OK_AND_ASSIGN(const auto all, ListedPods({}));
  EXPECT_THAT(all, Contains(first.id()));
  EXPECT_THAT(all, Contains(second.id()));
  ASSERT_OK_AND_ASSIGN(const auto of_id, ListedPods(by_id));
  EXPECT_THAT(of_id, ElementsAre(second.id()));
  ASSERT_OK_AND_ASSIGN(const auto of_label, ListedPods(by_label));
  EXPECT_THAT(of_label, ElementsAre(first.id()));
  ASSERT_OK_AND_ASSIGN(const auto of_both, ListedPods(by_both));
  EXPECT_THAT(of_both, IsEmpty());
}

TEST_F(ObservedTest, AStoppedPodIsNotListed) {
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), MakePodConfig(Name())));
  ASSERT_OK(client().StopPod(pod.id()));
  ASSERT_OK_AND_ASSIGN(const auto all, ListedPods({}));
  EXPECT_THAT(all, testing::Not(Contains(pod.id())));
  EXPECT_CODE(PodStats(pod.id()), kUnavailable);
  EXPECT_CODE(PodStats("0123456789abcdef"), kNotFound);
}

TEST_F(ObservedTest, DisksAreWrittenWhatWasWritten) {
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), MakePodConfig(Name())));
  ASSERT_OK_AND_ASSIGN(const std::string id, pod.RunContainer(MakeProbe("c", {"sleep"})));
  const int code = ExecCode(id, {"write-direct", "/big", absl::StrCat(8 * kMiB)});
  if (code == EINVAL || code == EOPNOTSUPP)
    GTEST_SKIP() << "needs a file system that writes past the page cache";
  ASSERT_EQ(code, 0);
  const uint64_t written = [&] {
    uint64_t sum = 0;
    Eventually(absl::Seconds(20), [&] {
      sum = MetricOf(id, "container_fs_writes_bytes_total");
      return sum >= 8 * kMiB;
    });
    return sum;
  }();
  if (written == 0) GTEST_SKIP() << "needs a block device below " << NodeDir();
  EXPECT_GE(written, 8 * kMiB);
  EXPECT_LT(written, 9 * kMiB);
  EXPECT_GE(MetricOf(id, "container_fs_writes_total"), 8u);
}

TEST_F(ObservedTest, ThrottlingAndOutOfMemoryAreCounted) {
  cri::ContainerConfig slow = MakeProbe("slow", {"burn-cpu", "200"});
  slow.mutable_linux()->mutable_resources()->set_cpu_period(100000);
  slow.mutable_linux()->mutable_resources()->set_cpu_quota(5000);
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), MakePodConfig(Name())));
  ASSERT_OK_AND_ASSIGN(const std::string id, pod.RunContainer(slow));
  ASSERT_TRUE(Says(pod, "slow", "burnt\n"));
  // A twentieth of a CPU, less than what a busy node leaves it: a fifth of a second takes 40
  // periods, most of them throttled.
  EXPECT_TRUE(Eventually(absl::Seconds(20), [&] {
    return MetricOf(id, "container_cpu_cfs_throttled_periods_total") >= 10 &&
           MetricOf(id, "container_cpu_cfs_periods_total") >= 20 &&
           MetricOf(id, "container_cpu_cfs_throttled_seconds_total") >= 1;
  }));
  EXPECT_EQ(MetricOf(id, "container_spec_cpu_quota"), 5000u);
  EXPECT_EQ(MetricOf(id, "container_spec_cpu_period"), 100000u);
  // The child is killed, and its parent lives on to be looked at. With a swap limit of the same
  // size cgroup v1 counts nothing (Linux 6.18).
  cri::ContainerConfig small =
      MakeProbe("small", {"eat-memory", absl::StrCat(256 * kMiB), "child"});
  small.mutable_linux()->mutable_resources()->set_memory_limit_in_bytes(32 * kMiB);
  small.mutable_linux()->mutable_resources()->set_memory_swap_limit_in_bytes(64 * kMiB);
  ASSERT_OK_AND_ASSIGN(const std::string hungry, pod.RunContainer(small));
  ASSERT_TRUE(Says(pod, "small", "child killed\n"));
  EXPECT_TRUE(Eventually(absl::Seconds(20), [&] {
    return MetricOf(hungry, "container_oom_events_total") >= 1 &&
           MetricOf(hungry, "container_memory_failcnt") >= 1;
  }));
  EXPECT_EQ(MetricOf(id, "container_oom_events_total"), 0u);
  EXPECT_EQ(MetricOf(hungry, "container_spec_memory_limit_bytes"), 32 * kMiB);
}

TEST_F(ObservedTest, MetricsAreAllThere) {
  ASSERT_OK_AND_ASSIGN(const auto descriptors, client().Call(&Runtime::ListMetricDescriptors, {}));
  std::map<std::string, int> keys;
  for (const auto& descriptor : descriptors.descriptors()) {
    keys[descriptor.name()] = descriptor.label_keys_size();
    EXPECT_FALSE(descriptor.help().empty());
  }
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), MakeKubeletPodConfig(Name())));
  ASSERT_OK_AND_ASSIGN(const std::string id, pod.RunContainer(MakeKubeletProbe("c", {"sleep"})));
  cri::ContainerStatsRequest of_id;
  of_id.set_container_id(id);
  // A writable layer is measured behind the start's back.
  ASSERT_TRUE(Eventually(absl::Seconds(30), [&] {
    const auto stats = client().Call(&Runtime::ContainerStats, of_id);
    return stats.ok() && stats->stats().writable_layer().has_used_bytes();
  }));
  ASSERT_OK_AND_ASSIGN(const auto metrics, client().Call(&Runtime::ListPodSandboxMetrics, {}));
  std::set<std::string> seen;
  const auto look = [&](const auto& all) {
    for (const cri::Metric& metric : all) {
      seen.insert(metric.name());
      EXPECT_EQ(metric.label_values_size(), keys[metric.name()]) << metric.name();
      EXPECT_TRUE(metric.has_value()) << metric.name();
    }
  };
  for (const auto& of_pod : metrics.pod_metrics()) {
    if (of_pod.pod_sandbox_id() != pod.id()) continue;
    look(of_pod.metrics());
    for (const auto& of_container : of_pod.container_metrics()) {
      EXPECT_EQ(of_container.container_id(), id);
      look(of_container.metrics());
    }
  }
  std::ifstream table(BERTH_SOURCE_DIR "/src/server/testdata/container_metrics.tsv");
  for (std::string line; std::getline(table, line);) {
    const std::vector<std::string> fields = absl::StrSplit(line, '\t');
    if (fields.size() != 4) continue;
    EXPECT_TRUE(keys.contains(fields[0])) << fields[0];
    if (fields[3] == "required") {
      EXPECT_TRUE(seen.contains(fields[0])) << fields[0];
    }
  }
}

// As a kubelet polls, only faster: the lists go on being right while pods come and go.
TEST_F(ObservedTest, PollingWhilePodsComeAndGo) {
  const bool to_the_end = getenv("BERTH_E2E_LONG") != nullptr;
  const int rounds = to_the_end ? 500 : 40, containers_of_a_pod = to_the_end ? 5 : 1;
  std::vector<Pod> pods;
  size_t running = 0;
  for (int round = 0; round < rounds; ++round) {
    if (round % containers_of_a_pod == 0) {
      ASSERT_OK_AND_ASSIGN(Pod pod,
                           Pod::Run(client(), MakePodConfig(Name(absl::StrCat("-", round)))));
      pods.push_back(std::move(pod));
    }
    ASSERT_OK_AND_ASSIGN(const std::string id,
                         pods.back().RunContainer(MakeProbe(absl::StrCat("c", round), {"sleep"})));
    ++running;
    ASSERT_OK_AND_ASSIGN(const auto stats, client().Call(&Runtime::ListContainerStats, {}));
    bool listed = false;
    for (const auto& each : stats.stats()) {
      if (each.attributes().id() == id) listed = each.cpu().timestamp() > 0;
    }
    EXPECT_TRUE(listed) << "one that was started is in the next list";
    ASSERT_OK(client().Call(&Runtime::ListPodSandboxStats, {}));
    ASSERT_OK(client().Call(&Runtime::ListPodSandboxMetrics, {}));
    ASSERT_OK(client().Call(&Images::ImageFsInfo, {}));
    ASSERT_OK_AND_ASSIGN(const auto containers, client().ListContainers());
    EXPECT_EQ(containers.size(), running);
    if (to_the_end || pods.size() <= 10) continue;
    pods.erase(pods.begin());
    --running;
  }
}

// Within the least age of a sample nobody's question costs a look at a cgroup.
TEST_F(ObservedTest, I_26_QuestionsDoNotReadCgroupsEachTime) {
  constexpr int kQuestions = 100, kContainers = 4;
  ASSERT_OK_AND_ASSIGN(
      OwnNode own,
      OwnNode::Start("asked", "[stats]\nmin_age_ms = \"60000\"\ninterval_seconds = \"600\"\n"));
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(own.client(), MakePodConfig(Name())));
  for (int i = 0; i < kContainers; ++i)
    ASSERT_OK(pod.RunContainer(MakeProbe(absl::StrCat("c", i), {"sleep"})));
  const auto ask = [&] {
    const auto stats = own.client().Call(&Runtime::ListContainerStats, {});
    ASSERT_OK(stats);
    EXPECT_EQ(stats->stats_size(), kContainers);
  };
  const auto reads = [&] {
    std::ifstream io(absl::StrCat("/proc/", own.daemon().pid(), "/io"));
    int64_t count = 0;
    for (std::string key; io >> key && key != "syscr:";) io >> count;
    io >> count;
    return count;
  };
  ask();
  const int64_t before = reads();
  for (int i = 0; i < kQuestions; ++i) ask();
  const int64_t per_question = (reads() - before) / kQuestions;
  EXPECT_LT(per_question, kContainers) << "of files, or of gRPC's own eventfds";
}

}  // namespace
}  // namespace berth::e2e
