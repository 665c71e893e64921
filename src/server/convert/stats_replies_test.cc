#include "src/server/convert/stats_replies.h"

#include <gtest/gtest.h>

#include <any>
#include <memory>

#include "src/server/convert/requests.h"

namespace berth {
namespace {

namespace cri = runtime::v1;

class StatsRepliesTest : public testing::Test {
 protected:
  StatsRepliesTest() {
    auto container_request = std::make_shared<cri::CreateContainerRequest>();
    container_request->mutable_config()->mutable_metadata()->set_name("app");
    (*container_request->mutable_config()->mutable_labels())["a"] = "b";
    auto container = std::make_shared<ContainerRecord>();
    container->id = "id";
    container->request = ContainerRequestPtr(std::move(container_request));
    sample_.container = container;
    auto pod_request = std::make_shared<cri::RunPodSandboxRequest>();
    pod_request->mutable_config()->mutable_metadata()->set_name("web");
    auto pod = std::make_shared<PodRecord>();
    pod->id = "pod-id";
    pod->request = PodRequestPtr(std::move(pod_request));
    pod_.pod = pod;
    sample_.at = pod_.at = 77;
  }
  cri::ContainerStats Container(std::optional<Node::LayerUsage> layer = std::nullopt) {
    cri::ContainerStats out;
    FillContainerStats(sample_, layer, "/data", &out);
    return out;
  }
  cri::PodSandboxStats Pod() {
    cri::PodSandboxStats out;
    FillPodSandboxStats(pod_, &out);
    return out;
  }

  ContainerSample sample_;
  PodSample pod_;
};

TEST_F(StatsRepliesTest, WhatWasNotReadIsUnset) {
  const cri::ContainerStats stats = Container();
  EXPECT_EQ(stats.attributes().id(), "id");
  EXPECT_EQ(stats.attributes().metadata().name(), "app");
  EXPECT_EQ(stats.attributes().labels().at("a"), "b");
  EXPECT_EQ(stats.cpu().timestamp(), 77);
  EXPECT_EQ(stats.memory().timestamp(), 77);
  EXPECT_FALSE(stats.cpu().has_usage_core_nano_seconds());
  EXPECT_FALSE(stats.cpu().has_usage_nano_cores());
  EXPECT_FALSE(stats.cpu().has_psi());
  EXPECT_FALSE(stats.memory().has_working_set_bytes());
  EXPECT_FALSE(stats.memory().has_available_bytes());
  EXPECT_FALSE(stats.has_swap());
  EXPECT_FALSE(stats.has_io());
  EXPECT_FALSE(stats.has_writable_layer());
  EXPECT_FALSE(Pod().linux().has_network());
  EXPECT_FALSE(Pod().linux().has_process());
}

TEST_F(StatsRepliesTest, OneThatDoesNotRunHasAttributesAndItsLayer) {
  sample_.at = 0;
  const cri::ContainerStats stats =
      Container(Node::LayerUsage{.bytes = 4096, .inodes = 3, .at = 5});
  EXPECT_EQ(stats.attributes().id(), "id");
  EXPECT_FALSE(stats.has_cpu());
  EXPECT_FALSE(stats.has_memory());
  EXPECT_EQ(stats.writable_layer().used_bytes().value(), 4096u);
  EXPECT_EQ(stats.writable_layer().inodes_used().value(), 3u);
  EXPECT_EQ(stats.writable_layer().fs_id().mountpoint(), "/data");
  EXPECT_EQ(stats.writable_layer().timestamp(), 5);
}

TEST_F(StatsRepliesTest, WhatIsLeftOfALimitIsNeverBelowZero) {
  sample_.usage.memory_bytes = 100;
  sample_.usage.memory_inactive_file = 30;
  sample_.usage.memory_limit = 200;
  sample_.usage.swap_bytes = 50;
  sample_.usage.swap_limit = 20;
  cri::ContainerStats stats = Container();
  EXPECT_EQ(stats.memory().working_set_bytes().value(), 70u);
  EXPECT_EQ(stats.memory().available_bytes().value(), 130u);
  EXPECT_EQ(stats.swap().swap_usage_bytes().value(), 50u);
  EXPECT_EQ(stats.swap().swap_available_bytes().value(), 0u);
  sample_.usage.memory_limit = 10;
  sample_.usage.swap_limit = std::nullopt;
  stats = Container();
  EXPECT_EQ(stats.memory().available_bytes().value(), 0u);
  EXPECT_FALSE(stats.swap().has_swap_available_bytes()) << "without a limit";
}

TEST_F(StatsRepliesTest, PressureIsInNanoseconds) {
  sample_.usage.cpu_pressure =
      PressureStall{.some = {.avg10 = 1.5, .avg60 = 2, .avg300 = 3, .total_us = 7}};
  sample_.usage.io_pressure = PressureStall{.some = {}, .full = Pressure{.total_us = 9}};
  const cri::ContainerStats stats = Container();
  EXPECT_EQ(stats.cpu().psi().some().total(), 7000u);
  EXPECT_DOUBLE_EQ(stats.cpu().psi().some().avg10(), 1.5);
  EXPECT_FALSE(stats.cpu().psi().has_full());
  EXPECT_EQ(stats.io().psi().full().total(), 9000u);
  EXPECT_EQ(stats.io().timestamp(), 77);
  EXPECT_FALSE(stats.memory().has_psi());
}

TEST_F(StatsRepliesTest, ThePodsInterfacesAreApartFromTheDefaultOne) {
  pod_.usage.pids = 4;
  pod_.interfaces = {{.name = "lo", .rx_bytes = 1},
                     {.name = "eth0", .rx_bytes = 2, .rx_errors = 3, .tx_bytes = 4, .tx_errors = 5},
                     {.name = "net1", .rx_bytes = 6}};
  const cri::PodSandboxStats stats = Pod();
  EXPECT_EQ(stats.linux().process().process_count().value(), 4u);
  const cri::NetworkUsage& network = stats.linux().network();
  EXPECT_EQ(network.timestamp(), 77);
  EXPECT_EQ(network.default_interface().name(), "eth0");
  EXPECT_EQ(network.default_interface().rx_errors().value(), 3u);
  EXPECT_EQ(network.default_interface().tx_bytes().value(), 4u);
  ASSERT_EQ(network.interfaces_size(), 1);
  EXPECT_EQ(network.interfaces(0).name(), "net1");
}

}  // namespace
}  // namespace berth
