#include "src/sandbox/stored_records.h"

#include <gtest/gtest.h>

#include <csignal>
#include <string>

namespace berth {
namespace {

// A request is its pod's or container's name; "bad" is none.
RequestParsers Parsers() {
  return {.pod = [](absl::string_view bytes) -> absl::StatusOr<ParsedPod> {
            if (bytes == "bad") return absl::DataLossError("bad");
            ParsedPod parsed;
            parsed.config.name = std::string(bytes);
            return parsed;
          },
          .container = [](absl::string_view bytes) -> absl::StatusOr<ParsedContainer> {
            if (bytes == "bad") return absl::DataLossError("bad");
            ParsedContainer parsed;
            parsed.config.name = std::string(bytes);
            parsed.config.pid = NamespaceMode::kPod;
            parsed.config.log_path = "0.log";
            parsed.config.annotations = {{"gone", "1"}, {"stays", "1"}};
            return parsed;
          },
          .adjustment = [](absl::string_view bytes) -> absl::StatusOr<ContainerAdjustment> {
            if (bytes == "bad") return absl::DataLossError("bad");
            ContainerAdjustment adjustment;
            adjustment.removed_annotations = {"gone"};
            adjustment.annotations = {{"new", std::string(bytes)}};
            return adjustment;
          },
          .unreadable_pod =
              [](const PodName& name) {
                ParsedPod parsed;
                parsed.config.name = name.name;
                parsed.config.pod_namespace = name.pod_namespace;
                parsed.config.uid = name.uid;
                parsed.config.attempt = name.attempt;
                return parsed;
              },
          .unreadable_container =
              [](const ContainerName& name) {
                ParsedContainer parsed;
                parsed.config.name = name.name;
                parsed.config.attempt = name.attempt;
                return parsed;
              }};
}

PodRow GoodPod() {
  return {.id = "p", .config = "web", .status = EncodePodStatus({.cgroup = "/berth/p"})};
}

ContainerRow GoodContainer() {
  return {.id = "c",
          .pod_id = "p",
          .config = "app",
          .image = EncodeContainerImage({}),
          .status = EncodeContainerStatus({})};
}

TEST(RecordOf, WhatPluginsHaveChangedIsThereAgain) {
  const auto pod = RecordOf(GoodPod(), Parsers());
  ASSERT_TRUE(pod.ok());
  ContainerRow row = GoodContainer();
  row.status = EncodeContainerStatus({.adjustment = "2"});
  const auto container = RecordOf(row, **pod, Parsers());
  ASSERT_TRUE(container.ok()) << container.status();
  ASSERT_NE((*container)->adjustment, nullptr);
  EXPECT_EQ((*container)->config.annotations,
            (std::map<std::string, std::string>{{"new", "2"}, {"stays", "1"}}));
  row.status = EncodeContainerStatus({.adjustment = "bad"});
  EXPECT_TRUE(absl::IsDataLoss(RecordOf(row, **pod, Parsers()).status()));
}

TEST(RecordOf, DamageOfAnyColumnIsTold) {
  EXPECT_TRUE(RecordOf(GoodPod(), Parsers()).ok());
  for (std::string PodRow::*column : {&PodRow::config, &PodRow::status}) {
    PodRow row = GoodPod();
    row.*column = "bad";
    EXPECT_FALSE(RecordOf(row, Parsers()).ok());
  }
  EXPECT_TRUE(RecordOf(GoodContainer(), PodRecord(), Parsers()).ok());
  for (std::string ContainerRow::*column :
       {&ContainerRow::config, &ContainerRow::image, &ContainerRow::status}) {
    ContainerRow row = GoodContainer();
    row.*column = "bad";
    EXPECT_FALSE(RecordOf(row, PodRecord(), Parsers()).ok());
  }
}

TEST(RecordOf, AContainerFollowsItsPod) {
  PodRecord pod;
  pod.status.cgroup = "/berth/p";
  pod.config.log_directory = "/var/log/pods/p";
  pod.config.namespaces.pid = NamespaceMode::kNode;
  const std::shared_ptr<ContainerRecord> container =
      RecordOf(GoodContainer(), pod, Parsers()).value();
  EXPECT_EQ(container->cgroup, "/berth/p/c");
  EXPECT_EQ(container->log_path, "/var/log/pods/p/0.log");
  EXPECT_EQ(container->config.pid, NamespaceMode::kNode);
  EXPECT_EQ(container->stop_signal, SIGTERM);
  EXPECT_TRUE(container->status.unread);
}

TEST(UnreadableRecord, APodKeepsItsNameAndWhatItsStatusSays) {
  PodRow row = GoodPod();
  row.config = "bad";
  row.name = "a/b/space/uid/7";
  const std::shared_ptr<PodRecord> pod = UnreadableRecord(row, Parsers(), "boot");
  EXPECT_EQ(pod->config.name, "a/b");
  EXPECT_EQ(pod->config.pod_namespace, "space");
  EXPECT_EQ(pod->config.uid, "uid");
  EXPECT_EQ(pod->config.attempt, 7u);
  EXPECT_EQ(pod->status.cgroup, "/berth/p");
  EXPECT_EQ(pod->status.state, PodState::kNotReady);
  EXPECT_TRUE(pod->status.unreadable);
}

TEST(UnreadableRecord, AContainerHasEndedAndKeepsItsName) {
  ContainerRow row = GoodContainer();
  row.name = "app/3/p";
  const std::shared_ptr<ContainerRecord> container =
      UnreadableRecord(row, PodRecord(), Parsers(), /*now=*/5);
  EXPECT_EQ(container->config.name, "app");
  EXPECT_EQ(container->config.attempt, 3u);
  EXPECT_EQ(container->status.state, ContainerState::kExited);
  EXPECT_EQ(container->status.finished_at, 5);
  EXPECT_EQ(container->status.exit_code, 255);
}

TEST(UnreadableRecord, ANameOfAnotherFormStandsAsItIs) {
  EXPECT_EQ(UnreadableRecord(PodRow{.name = "odd"}, Parsers(), "boot")->config.name, "odd");
  EXPECT_EQ(UnreadableRecord(ContainerRow{.name = "odd/1"}, PodRecord(), Parsers(), 0)->config.name,
            "odd/1");
}

}  // namespace
}  // namespace berth
