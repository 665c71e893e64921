#include "src/server/telemetry.h"

#include <gtest/gtest.h>

#include "absl/strings/match.h"

namespace berth {
namespace {

TEST(FormatFor, GivesWhatTheClientPrefers) {
  const struct {
    const char* accept;
    MetricsFormat format;
  } cases[] = {
      {"", MetricsFormat::kText},
      {"*/*", MetricsFormat::kText},
      {"text/plain", MetricsFormat::kText},
      {"application/openmetrics-text", MetricsFormat::kOpenMetrics},
      // Prometheus 2.42
      {"application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q="
       "0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
       MetricsFormat::kOpenMetrics},
      {"application/openmetrics-text;q=0.2, text/plain;q=0.5", MetricsFormat::kText},
      {"application/openmetrics-text;q=0", MetricsFormat::kText},
      {"application/openmetrics-text;q=x", MetricsFormat::kText},
  };
  for (const auto& each : cases) EXPECT_EQ(FormatFor(each.accept), each.format) << each.accept;
}

TEST(PullFailureReason, IsOfAFixedSet) {
  EXPECT_STREQ(PullFailureReason(absl::OkStatus()), "");
  EXPECT_STREQ(PullFailureReason(absl::UnauthenticatedError("secret")), "unauthorized");
  EXPECT_STREQ(PullFailureReason(absl::DataLossError("x")), "damaged");
  EXPECT_STREQ(PullFailureReason(absl::AbortedError("x")), "other");
}

TEST(ReadCni, TellsWhatPluginsStillHoldOfPodsThatAreGone) {
  DaemonMetrics metrics("1");
  metrics.AddReader([] { return ReadCni({.attached = 3, .pending_deletions = 2, .adds = 5}); });
  const std::string text = metrics.Text();
  for (const char* line :
       {"berth_cni_pending_deletions 2\n", "berth_cni_attached 3\n",
        "berth_cni_operations_total{operation=\"ADD\",result=\"succeeded\"} 5\n"})
    EXPECT_TRUE(absl::StrContains(text, line)) << line << text;
}

TEST(ReadNetwork, TellsTheCountsAsTheyAreWhenAsked) {
  DaemonMetrics metrics("1");
  BridgeNetwork::Counts counts;
  metrics.AddReader([&] { return ReadNetwork(counts); });
  counts = {.ready = 8, .taken_ready = 5, .made_at_once = 1, .removals_pending = 2};
  const std::string text = metrics.Text();
  for (const char* line :
       {"berth_network_ready 8\n", "berth_network_taken_total{from=\"ready\"} 5\n",
        "berth_network_taken_total{from=\"made\"} 1\n", "berth_network_removals_pending 2\n"})
    EXPECT_TRUE(absl::StrContains(text, line)) << line << text;
}

TEST(ObserveOperation, CountsStagesAndTheNetworkOfTheFailedStage) {
  DaemonMetrics metrics("1");
  ObserveOperation({.kind = "RunPodSandbox",
                    .stages = {{"monitor", absl::Milliseconds(1)}, {"network", absl::Seconds(1)}},
                    .status = absl::InternalError("no bridge")},
                   metrics);
  ObserveOperation({.kind = "StopPodSandbox", .stages = {{"network", absl::Milliseconds(1)}}},
                   metrics);
  ObserveOperation({.kind = "PullImage", .status = absl::NotFoundError("x")}, metrics);
  const std::string text = metrics.Text();
  for (const char* line :
       {"berth_stage_duration_seconds_count{operation=\"RunPodSandbox\",stage=\"monitor\"} 1",
        "berth_network_operation_duration_seconds_count{operation=\"attach\",result=\"error\"} 1",
        "berth_network_operation_duration_seconds_count{operation=\"detach\",result=\"ok\"} 1",
        "berth_image_pull_errors_total{reason=\"not_found\"} 1"})
    EXPECT_TRUE(absl::StrContains(text, line)) << line << "\n" << text;
}

}  // namespace
}  // namespace berth
