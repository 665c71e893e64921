#include "src/sandbox/operation_log.h"

#include <gtest/gtest.h>

namespace berth {
namespace {

const auto kAll = [](const OperationRecord&) { return true; };

TEST(OperationLog, KeepsStagesAndTheEnd) {
  std::vector<std::string> ended;
  OperationLog log({}, [&](const OperationRecord& record) { ended.push_back(record.kind); });
  {
    OperationLog::Operation operation = log.Begin("RunPodSandbox", {.name = "ns/pod"});
    operation.SetPod("0123");
    operation.Stage("files");
    operation.Stage("network");
    ASSERT_EQ(log.Find(kAll).size(), 1u);
    EXPECT_TRUE(log.Find(kAll)[0].running);
    EXPECT_FALSE(operation.End(absl::NotFoundError("no bridge")).ok());
    operation.End(absl::OkStatus()).IgnoreError();
  }
  const OperationRecord record = log.Find(kAll).at(0);
  EXPECT_FALSE(record.running);
  EXPECT_EQ(record.pod_id, "0123");
  EXPECT_EQ(record.status, absl::NotFoundError("no bridge")) << "the first end counts";
  ASSERT_EQ(record.stages.size(), 2u);
  EXPECT_STREQ(record.stages[1].name, "network");
  EXPECT_GE(record.took, record.stages[0].took + record.stages[1].took);
  EXPECT_EQ(ended, std::vector<std::string>{"RunPodSandbox"});
}

TEST(OperationLog, WhatIsGivenUpHasFailed) {
  OperationLog log({});
  { OperationLog::Operation operation = log.Begin("StopContainer", {.name = "a"}); }
  EXPECT_EQ(log.Find(kAll).at(0).status.code(), absl::StatusCode::kUnknown);
}

TEST(OperationLog, OneThatLoopsDoesNotPushOutOthers) {
  OperationLog log({.records = 5, .records_of_subject = 2});
  log.Begin("RunPodSandbox", {.name = "quiet"});
  for (int i = 0; i < 100; ++i) log.Begin("RunPodSandbox", {.name = "loud"});
  EXPECT_EQ(log.Find(kAll).size(), 3u);
  EXPECT_EQ(log.Find(kAll)[0].subject, "quiet");
  for (const char* name : {"a", "b", "c", "d"}) log.Begin("RunPodSandbox", {.name = name});
  EXPECT_EQ(log.Find(kAll).size(), 5u);
  EXPECT_EQ(log.Find(kAll)[0].subject, "loud") << "the oldest has made room";
}

TEST(OperationLog, BoundsTextAndStages) {
  OperationLog log({.stages = 2, .text_bytes = 4});
  OperationLog::Operation operation = log.Begin("PullImage", {.name = "long name"});
  for (int i = 0; i < 10; ++i) operation.Stage("s");
  operation.End(absl::InternalError(std::string(100, 'x'))).IgnoreError();
  const OperationRecord record = log.Find(kAll).at(0);
  EXPECT_EQ(record.subject, "long");
  EXPECT_EQ(record.stages.size(), 2u);
  EXPECT_EQ(record.status.message(), "xxxx");
}

}  // namespace
}  // namespace berth
