#include "src/cli/timeline.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace berth::cli {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

const TimelineStyle kStyle = {.colour = false, .zone = absl::UTCTimeZone()};
constexpr int64_t kAt = 1'700'000'000'123'000'000;  // 22:13:20.123

v1::Operation* Add(v1::ListOperationsResponse& all, const char* kind, const char* subject,
                   const char* code, const char* message = "") {
  v1::Operation* operation = all.add_operations();
  operation->set_kind(kind);
  operation->set_subject(subject);
  operation->set_started_at(kAt);
  operation->set_took(13'200'000);
  operation->set_code(code);
  operation->set_message(message);
  for (const char* name : {"plan", "launch"}) {
    v1::OperationStage* stage = operation->add_stages();
    stage->set_name(name);
    stage->set_took(2'500'000'000);
  }
  return operation;
}

TEST(RenderTimeline, TellsTimesStagesAndWhereItFailed) {
  v1::ListOperationsResponse all;
  Add(all, "RunPodSandbox", "ns/pod", "OK");
  Add(all, "StartContainer", "ns/pod/app", "NOT_FOUND", "no such file");
  Add(all, "PullImage", "image", "")->set_running(true);
  EXPECT_THAT(RenderTimeline(all, kStyle),
              AllOf(HasSubstr("22:13:20.123   RunPodSandbox    ns/pod       13.2 ms   ok"),
                    HasSubstr("plan 2.5 s, launch 2.5 s"), HasSubstr("FAILED in launch"),
                    HasSubstr("image        -         running")));
}

TEST(RenderVerdict, IsTheLastFailureWithCauseAndHint) {
  v1::ListOperationsResponse all;
  Add(all, "StartContainer", "ns/pod/app", "NOT_FOUND",
      "exec /nope: No such file or directory\x1b[31m");
  EXPECT_THAT(RenderVerdict(all, kStyle),
              AllOf(HasSubstr("StartContainer of ns/pod/app failed in its step \"launch\"\n"),
                    HasSubstr("cause: exec /nope: No such file or directory"),
                    HasSubstr("hint:  the image has no such program"), Not(HasSubstr("\x1b"))));
}

TEST(RenderVerdict, WhatWasMadeGoodIsNoFailure) {
  v1::ListOperationsResponse all;
  Add(all, "RunPodSandbox", "ns/pod", "INTERNAL", "no bridge");
  Add(all, "RunPodSandbox", "ns/other", "OK");
  EXPECT_THAT(RenderVerdict(all, kStyle), HasSubstr("no bridge"));
  Add(all, "RunPodSandbox", "ns/pod", "OK");
  EXPECT_EQ(RenderVerdict(all, kStyle), "");
  EXPECT_EQ(RenderVerdict({}, kStyle), "");
}

TEST(RenderEnds, TellsHowEachContainerIs) {
  cri::ContainerStatus running, oom;
  running.mutable_metadata()->set_name("a");
  running.set_state(cri::CONTAINER_RUNNING);
  oom.mutable_metadata()->set_name("b");
  oom.set_state(cri::CONTAINER_EXITED);
  oom.set_exit_code(137);
  oom.set_reason("OOMKilled");
  oom.set_started_at(kAt);
  oom.set_finished_at(kAt + 3'000'000'000);
  EXPECT_THAT(
      RenderEnds({running, oom}, kStyle),
      AllOf(HasSubstr("container a: runs\n"),
            HasSubstr("container b: exited with 137 (OOMKilled) at 22:13:23.123, after 3.0 s"),
            HasSubstr("memory limit")));
  oom.set_started_at(0);
  oom.set_reason("StartError");
  EXPECT_THAT(RenderEnds({oom}, kStyle), HasSubstr("at 22:13:23.123, never started\n"));
}

}  // namespace
}  // namespace berth::cli
