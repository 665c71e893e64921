#include "src/cli/top_view.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "src/cli/terminal_text.h"

namespace berth::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

class TopViewTest : public testing::Test {
 protected:
  cri::PodSandboxStats* AddPod(const char* name) {
    cri::PodSandboxStats* pod = replies_.stats.add_stats();
    pod->mutable_attributes()->set_id(absl::StrCat("pod-", name));
    pod->mutable_attributes()->mutable_metadata()->set_name(name);
    pod->mutable_attributes()->mutable_metadata()->set_namespace_("team");
    pod->mutable_linux()
        ->mutable_network()
        ->mutable_default_interface()
        ->mutable_rx_bytes()
        ->set_value(4096);
    return pod;
  }
  void AddContainer(cri::PodSandboxStats* pod, const char* name, uint64_t cpu, uint64_t memory) {
    cri::ContainerStats* container = pod->mutable_linux()->add_containers();
    container->mutable_attributes()->set_id(absl::StrCat("id-", name));
    container->mutable_attributes()->mutable_metadata()->set_name(name);
    container->mutable_cpu()->mutable_usage_nano_cores()->set_value(cpu);
    container->mutable_memory()->mutable_working_set_bytes()->set_value(memory);
    cri::ContainerMetrics* metrics = replies_.metrics.add_pod_metrics()->add_container_metrics();
    metrics->set_container_id(absl::StrCat("id-", name));
    for (const uint64_t bytes : {1024, 2048}) {
      cri::Metric* metric = metrics->add_metrics();
      metric->set_name("container_fs_reads_bytes_total");
      metric->mutable_value()->set_value(bytes);
    }
  }
  void SetUp() override {
    cri::PodSandboxStats* web = AddPod("web");
    AddContainer(web, "app", 1'500'000'000, 10 << 20);
    AddContainer(web, "proxy", 20'000'000, 900 << 20);
    AddPod("idle");
  }
  std::vector<std::string> Names(const TopChoice& choice) {
    std::vector<std::string> names;
    for (const TopRow& row : TopRows(replies_, choice)) names.push_back(row.name);
    return names;
  }

  TopReplies replies_{.at = absl::UnixEpoch()};
};

TEST_F(TopViewTest, SortsAndFilters) {
  EXPECT_THAT(Names({.sort = TopSort::kCpu}), ElementsAre("web/app", "web/proxy"));
  EXPECT_THAT(Names({.sort = TopSort::kMemory}), ElementsAre("web/proxy", "web/app"));
  EXPECT_THAT(Names({.sort = TopSort::kName, .filter = "PRO"}), ElementsAre("web/proxy"));
  EXPECT_THAT(Names({.sort = TopSort::kName, .pods = true}), ElementsAre("team/idle", "team/web"));
}

TEST_F(TopViewTest, WhatIsNotKnownIsADash) {
  const std::vector<TopRow> rows = TopRows(replies_, {.sort = TopSort::kName});
  EXPECT_EQ(rows[0].cpu_percent, 150.0);
  EXPECT_EQ(rows[0].read, 3072u) << "of all devices";
  EXPECT_EQ(rows[0].written, std::nullopt);
  EXPECT_EQ(rows[0].cpu_stall, std::nullopt);
  const std::vector<TopRow> pods = TopRows(replies_, {.sort = TopSort::kName, .pods = true});
  EXPECT_EQ(pods[0].received, 4096u);
  EXPECT_EQ(pods[1].read, 6144u) << "of all containers";
}

TEST_F(TopViewTest, FitsAnyScreen) {
  v1::Pull* pull = replies_.pulls.add_pulls();
  pull->set_reference("registry/\x1b[2Jimage");
  pull->set_bytes(50);
  pull->set_total_bytes(200);
  for (const size_t columns : {20, 80, 200}) {
    for (const size_t rows : {6, 24}) {
      const TopChoice choice;
      const std::vector<std::string> lines = RenderTop(replies_, TopRows(replies_, choice), choice,
                                                       {.columns = columns, .rows = rows});
      EXPECT_LE(lines.size(), rows);
      for (const std::string& line : lines) EXPECT_LE(DisplayWidth(line), columns) << line;
    }
  }
  const TopChoice choice;
  const std::string screen = absl::StrJoin(
      RenderTop(replies_, TopRows(replies_, choice), choice, {.columns = 150, .rows = 24}), "\n");
  EXPECT_THAT(screen, HasSubstr("2 pods, 2 containers"));
  EXPECT_THAT(screen, HasSubstr("pulling  25%"));
  EXPECT_THAT(screen, HasSubstr(">CPU%"));
  EXPECT_THAT(screen, Not(HasSubstr("\x1b")));
}

TEST_F(TopViewTest, TheSelectedRowStaysInView) {
  cri::PodSandboxStats* many = AddPod("many");
  for (int i = 0; i < 100; ++i) AddContainer(many, absl::StrCat("c", 100 + i).c_str(), 0, 0);
  TopChoice choice{.sort = TopSort::kName, .selected = 99};
  const std::vector<TopRow> rows = TopRows(replies_, choice);
  const std::string screen =
      absl::StrJoin(RenderTop(replies_, rows, choice, {.columns = 150, .rows = 20}), "\n");
  EXPECT_THAT(screen, HasSubstr(rows[99].name));
  EXPECT_THAT(screen, Not(HasSubstr(rows[0].name)));
}

}  // namespace
}  // namespace berth::cli
