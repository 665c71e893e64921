#include "src/server/container_metrics.h"

#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <set>
#include <vector>

#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "src/server/convert/metrics_replies.h"

namespace berth {
namespace {

namespace cri = runtime::v1;

struct Expected {
  std::string name, type, labels;
  bool required = false;
};

std::vector<Expected> Table() {
  std::ifstream file(BERTH_SOURCE_DIR "/src/server/testdata/container_metrics.tsv");
  std::vector<Expected> rows;
  for (std::string line; std::getline(file, line);) {
    if (line.empty() || line[0] == '#') continue;
    const std::vector<std::string> fields = absl::StrSplit(line, '\t');
    rows.push_back({fields.at(0), fields.at(1), fields.at(2) == "-" ? "" : fields.at(2),
                    fields.at(3) == "required"});
  }
  EXPECT_GT(rows.size(), 50u);
  return rows;
}

TEST(ContainerMetricFamilies, AreThoseThatAreExpectedNameByName) {
  std::map<std::string, const MetricFamily*> families;
  for (const MetricFamily& family : ContainerMetricFamilies()) {
    EXPECT_TRUE(families.emplace(family.name, &family).second) << family.name;
    EXPECT_STRNE(family.help, "") << family.name;
    EXPECT_NE(family.of_container == nullptr, family.of_pod == nullptr) << family.name;
  }
  for (const Expected& row : Table()) {
    ASSERT_TRUE(families.count(row.name)) << row.name;
    const MetricFamily& family = *families[row.name];
    EXPECT_EQ(family.type == MetricFamily::Type::kCounter, row.type == "counter") << row.name;
    EXPECT_EQ(absl::StrJoin(family.extra_labels, ","), row.labels) << row.name;
    families.erase(row.name);
  }
  EXPECT_TRUE(families.empty()) << families.begin()->first << " is not in the table";
}

// A running container of which everything is known.
class MetricsRepliesTest : public testing::Test {
 protected:
  MetricsRepliesTest() {
    auto pod = std::make_shared<PodRecord>();
    pod->id = "pod-id";
    pod->config = {.name = "web", .pod_namespace = "team"};
    auto container = std::make_shared<ContainerRecord>();
    container->id = "container-id";
    container->pod_id = pod->id;
    container->config.name = "app";
    container->config.limits = {.memory_bytes = 64 << 20, .cpu_shares = 2, .cpu_quota_us = -1};
    container->image.name = "registry/app:1";
    container->status.started_at = 5'500'000'000;
    pod_.pod = pod;
    pod_.at = sample_.at = 7'900'000'000;
    pod_.interfaces = {{.name = "lo", .rx_bytes = 1}, {.name = "eth0", .rx_bytes = 77}};
    sample_.container = container;
    CgroupUsage& usage = sample_.usage;
    usage.cpu_ns = 2'700'000'000;
    usage.memory_bytes = usage.memory_inactive_file = usage.memory_rss = usage.page_faults =
        usage.major_page_faults = usage.memory_cache = usage.memory_mapped_file = usage.pids = 3;
    details_.cgroup.user_ns = details_.cgroup.system_ns = details_.cgroup.memory_peak =
        details_.cgroup.memory_kernel = 1'999'999'999;
    details_.cgroup.block_io = {
        {.major = 254, .device = "/dev/vda", .read_bytes = 10, .write_bytes = 20}};
    facts_ = {.sample = &sample_,
              .details = &details_,
              .layer = Node::LayerUsage{.bytes = 4096, .inodes = 2, .at = 1},
              .file_system = &file_system_};
    FillContainerMetrics(facts_, pod_, &container_metrics_);
    FillPodMetrics(pod_, &pod_metrics_);
  }

  static std::vector<cri::Metric> Named(
      const google::protobuf::RepeatedPtrField<cri::Metric>& metrics, const std::string& name) {
    std::vector<cri::Metric> found;
    for (const cri::Metric& metric : metrics) {
      if (metric.name() == name) found.push_back(metric);
    }
    return found;
  }
  cri::Metric Only(const std::string& name) {
    const std::vector<cri::Metric> found = Named(container_metrics_.metrics(), name);
    EXPECT_EQ(found.size(), 1u) << name;
    return found.empty() ? cri::Metric() : found[0];
  }

  PodSample pod_;
  ContainerSample sample_;
  ContainerDetails details_;
  FileSystemFacts file_system_{.device = "/dev/vda1", .bytes = 100, .inodes = 50};
  ContainerFacts facts_;
  cri::ContainerMetrics container_metrics_;
  cri::PodSandboxMetrics pod_metrics_;
};

TEST_F(MetricsRepliesTest, EachRequiredOneHasAValueWithALabelForEachKey) {
  std::map<std::string, int> keys;
  for (const MetricFamily& family : ContainerMetricFamilies()) {
    cri::MetricDescriptor descriptor;
    FillDescriptor(family, &descriptor);
    keys[family.name] = descriptor.label_keys_size();
  }
  std::set<std::string> seen;
  for (const auto* metrics : {&container_metrics_.metrics(), &pod_metrics_.metrics()}) {
    for (const cri::Metric& metric : *metrics) {
      seen.insert(metric.name());
      EXPECT_EQ(metric.label_values_size(), keys[metric.name()]) << metric.name();
      EXPECT_TRUE(metric.has_value()) << metric.name();
      EXPECT_EQ(metric.timestamp(), 7'900'000'000) << metric.name();
    }
  }
  for (const Expected& row : Table()) {
    if (row.required) {
      EXPECT_TRUE(seen.count(row.name)) << row.name;
    }
  }
}

TEST_F(MetricsRepliesTest, SecondsAreWholeAndNoLimitIsZero) {
  EXPECT_EQ(Only("container_cpu_usage_seconds_total").value().value(), 2u);
  EXPECT_EQ(Only("container_cpu_user_seconds_total").value().value(), 1u);
  EXPECT_EQ(Only("container_start_time_seconds").value().value(), 5u);
  EXPECT_EQ(Only("container_spec_memory_limit_bytes").value().value(), uint64_t{64} << 20);
  EXPECT_EQ(Only("container_spec_cpu_quota").value().value(), 0u);
  EXPECT_EQ(Only("container_oom_events_total").value().value(), 0u);
}

TEST_F(MetricsRepliesTest, LabelsAreInTheOrderOfTheirKeys) {
  EXPECT_EQ(absl::StrJoin(Only("container_fs_usage_bytes").label_values(), " "),
            "container-id registry/app:1 team web app container-id /dev/vda1");
  const std::vector<cri::Metric> io =
      Named(container_metrics_.metrics(), "container_blkio_device_usage_total");
  ASSERT_EQ(io.size(), 2u);
  EXPECT_EQ(absl::StrJoin(io[1].label_values(), " "),
            "container-id registry/app:1 team web app container-id /dev/vda 254 0 Write");
  const std::vector<cri::Metric> received =
      Named(pod_metrics_.metrics(), "container_network_receive_bytes_total");
  ASSERT_EQ(received.size(), 1u) << "lo is left out";
  EXPECT_EQ(absl::StrJoin(received[0].label_values(), " "), "pod-id  team web POD pod-id eth0");
  EXPECT_EQ(received[0].value().value(), 77u);
}

TEST_F(MetricsRepliesTest, WhatIsUnknownHasNoSeries) {
  sample_.usage = {};
  facts_.details = nullptr;
  facts_.layer = std::nullopt;
  facts_.file_system = nullptr;
  pod_.interfaces = std::nullopt;
  container_metrics_.Clear();
  pod_metrics_.Clear();
  FillContainerMetrics(facts_, pod_, &container_metrics_);
  FillPodMetrics(pod_, &pod_metrics_);
  EXPECT_EQ(pod_metrics_.metrics_size(), 0);
  for (const char* name : {"container_cpu_usage_seconds_total", "container_memory_usage_bytes",
                           "container_fs_usage_bytes", "container_file_descriptors",
                           "container_pressure_cpu_waiting_seconds_total"})
    EXPECT_TRUE(Named(container_metrics_.metrics(), name).empty()) << name;
}

}  // namespace
}  // namespace berth
