#include "src/server/container_series.h"

#include <gtest/gtest.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace berth {
namespace {

class ContainerSeriesTest : public testing::Test {
 protected:
  void AddPod(const std::string& id, const std::string& pod_namespace, const std::string& name) {
    auto record = std::make_shared<PodRecord>();
    record->id = id;
    record->created_at = ++made_;
    record->config = {.name = name, .pod_namespace = pod_namespace};
    auto sample = std::make_shared<PodSample>();
    sample->pod = record;
    sample->at = 1;
    sample->interfaces = {{.name = "eth0", .rx_bytes = 5}};
    pods_->push_back(sample);
  }
  void AddContainer(const std::string& pod_id, const std::string& name, uint64_t cpu_ns) {
    auto record = std::make_shared<ContainerRecord>();
    record->id = absl::StrCat("c", ++made_);
    record->pod_id = pod_id;
    record->created_at = made_;
    record->config.name = name;
    auto sample = std::make_shared<ContainerSample>();
    sample->container = record;
    sample->at = 1;
    sample->usage.cpu_ns = cpu_ns;
    containers_->push_back(sample);
  }
  std::string Write(MetricsFormat format = MetricsFormat::kText, size_t max_containers = 100) {
    ContainerSeries series({.containers = containers_,
                            .pods = pods_,
                            .layer = [](absl::string_view) { return std::nullopt; },
                            .file_system = {},
                            .max_containers = max_containers,
                            .format = format});
    std::string all;
    bool more = true;
    for (pieces_ = 0; more; ++pieces_) {
      std::string piece;
      more = series.Next(&piece);
      EXPECT_TRUE(absl::EndsWith(piece, "\n")) << "whole lines";
      all += piece;
    }
    return all;
  }
  static int Lines(const std::string& text, const std::string& start) {
    int count = 0;
    for (absl::string_view line : absl::StrSplit(text, '\n'))
      count += absl::StartsWith(line, start);
    return count;
  }

  int64_t made_ = 0;
  int pieces_ = 0;
  std::shared_ptr<PodSamples> pods_ = std::make_shared<PodSamples>();
  std::shared_ptr<ContainerSamples> containers_ = std::make_shared<ContainerSamples>();
};

TEST_F(ContainerSeriesTest, WritesFamiliesWithNames) {
  AddPod("p", "team", "web");
  AddContainer("p", "app", 1'234'567'890);
  const std::string text = Write();
  EXPECT_TRUE(absl::StrContains(
      text,
      "# TYPE berth_container_cpu_usage_seconds_total counter\n"
      "berth_container_cpu_usage_seconds_total{namespace=\"team\",pod=\"web\",container=\"app\","
      "cpu=\"total\"} 1.234567890\n"))
      << text;
  EXPECT_TRUE(absl::StrContains(
      text,
      "berth_container_network_receive_bytes_total{namespace=\"team\",pod=\"web\",interface="
      "\"eth0\"} 5\n"));
  EXPECT_TRUE(absl::StrContains(text, "\nberth_containers_not_shown 0\n"));
}

TEST_F(ContainerSeriesTest, OpenMetricsNamesAFamilyWithoutTotal) {
  AddPod("p", "team", "web");
  AddContainer("p", "app", 1);
  const std::string text = Write(MetricsFormat::kOpenMetrics);
  EXPECT_TRUE(absl::StrContains(text, "# TYPE berth_container_cpu_usage_seconds counter\n"));
  EXPECT_EQ(Lines(text, "berth_container_cpu_usage_seconds_total{"), 1);
}

TEST_F(ContainerSeriesTest, NamesOfTenantsForgeNothingAndAreCut) {
  AddPod("p", "a\"} 1\nforged 2", "back\\slash");
  AddContainer("p", std::string(252, 'x') + "\xc3\xa9" + std::string(9000, 'y'), 1);
  const std::string text = Write();
  EXPECT_EQ(Lines(text, "forged"), 0) << text;
  EXPECT_TRUE(absl::StrContains(text, "namespace=\"a\\\"} 1\\nforged 2\",pod=\"back\\\\slash\""));
  EXPECT_TRUE(absl::StrContains(text, "container=\"" + std::string(252, 'x') + "\""))
      << "not cut within a character";
}

TEST_F(ContainerSeriesTest, OfTwoWithTheSameNamesTheNewerIsShown) {
  AddPod("p", "team", "web");
  AddPod("q", "team", "web");
  AddContainer("p", "app", 1'000'000'000);
  AddContainer("q", "app", 2'000'000'000);
  const std::string text = Write();
  EXPECT_EQ(Lines(text, "berth_container_cpu_usage_seconds_total{"), 1);
  EXPECT_TRUE(absl::StrContains(text, "} 2.000000000\n"));
  EXPECT_EQ(Lines(text, "berth_container_network_receive_bytes_total{"), 1);
  EXPECT_TRUE(absl::StrContains(text, "\nberth_containers_not_shown 1\n"));
}

TEST_F(ContainerSeriesTest, IsBoundedWhateverTenantsMake) {
  AddPod("p", "team", "web");
  for (int i = 0; i < 50; ++i) AddContainer("p", absl::StrCat("app", i), 1);
  const std::string text = Write(MetricsFormat::kText, 10);
  EXPECT_EQ(Lines(text, "berth_container_cpu_usage_seconds_total{"), 10);
  EXPECT_TRUE(absl::StrContains(text, "\nberth_containers_not_shown 40\n"));
}

TEST_F(ContainerSeriesTest, ComesInPiecesWithEachHeadOnce) {
  AddPod("p", "team", "web");
  for (int i = 0; i < 3000; ++i) AddContainer("p", absl::StrCat("app", i), 1);
  const std::string text = Write(MetricsFormat::kText, 5000);
  EXPECT_GT(pieces_, 5);
  EXPECT_EQ(Lines(text, "berth_container_cpu_usage_seconds_total{"), 3000);
  EXPECT_EQ(Lines(text, "# TYPE berth_container_cpu_usage_seconds_total "), 1);
}

}  // namespace
}  // namespace berth
