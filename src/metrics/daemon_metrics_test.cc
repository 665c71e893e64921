#include "src/metrics/daemon_metrics.h"

#include <gtest/gtest.h>

namespace berth {
namespace {

TEST(DaemonMetrics, CountsByOperationAndCode) {
  DaemonMetrics metrics("1.2.3");
  metrics.CountOperation("Version", "OK", absl::Milliseconds(2));
  metrics.CountOperation("Version", "OK", absl::Milliseconds(2));
  metrics.CountOperation("RunPodSandbox", "ALREADY_EXISTS", absl::Seconds(1));
  const std::string text = metrics.Text();
  EXPECT_NE(text.find("berth_cri_operations_total{code=\"OK\",operation=\"Version\"} 2"),
            std::string::npos)
      << text;
  EXPECT_NE(
      text.find(
          "berth_cri_operation_duration_seconds_bucket{operation=\"Version\",le=\"0.0025\"} 2"),
      std::string::npos)
      << text;
  EXPECT_NE(text.find("berth_build_info{version=\"1.2.3\"} 1"), std::string::npos);
}

TEST(DaemonMetrics, SaysWhyItCannotListen) {
  DaemonMetrics first("1"), second("1");
  ASSERT_TRUE(first.Listen("127.0.0.1:39475").ok());
  const absl::Status status = second.Listen("127.0.0.1:39475");
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_NE(status.message().find("127.0.0.1:39475"), absl::string_view::npos);
}

TEST(DaemonMetrics, ShowsWhatLogsHaveDropped) {
  DaemonMetrics metrics("1.0");
  metrics.ShowLogs([] { return 4711; });
  EXPECT_NE(metrics.Text().find("berth_container_log_dropped_bytes_total 4711\n"),
            std::string::npos);
}

TEST(DaemonMetrics, ShowsThePullsOfTheMomentOfTheScrape) {
  DaemonMetrics metrics("1.0");
  DaemonMetrics::Pulls pulls;
  metrics.ShowPulls([&] { return pulls; });
  pulls = {.running = 2, .succeeded = 7, .failed = 1, .received_bytes = 4096, .layers_present = 5};
  const std::string text = metrics.Text();
  for (const char* line :
       {"berth_image_pulls_running 2\n", "berth_image_pulls_total{result=\"succeeded\"} 7\n",
        "berth_image_pulls_total{result=\"failed\"} 1\n", "berth_image_pull_bytes_total 4096\n",
        "berth_image_pull_layers_total{source=\"store\"} 5\n"})
    EXPECT_NE(text.find(line), std::string::npos) << line << text;
}

TEST(DaemonMetrics, ShowsTheNetworkAsItIsWhenAsked) {
  DaemonMetrics metrics("1");
  DaemonMetrics::Network network;
  metrics.ShowNetwork([&] { return network; });
  network = {.ready = 8, .taken_ready = 5, .made_at_once = 1, .removals_pending = 2};
  const std::string text = metrics.Text();
  for (const char* line :
       {"berth_network_ready 8\n", "berth_network_taken_total{from=\"ready\"} 5\n",
        "berth_network_taken_total{from=\"made\"} 1\n", "berth_network_removals_pending 2\n"})
    EXPECT_NE(text.find(line), std::string::npos) << line << text;
}

TEST(DaemonMetrics, ShowsWhatCniPluginsStillHoldOfPodsThatAreGone) {
  DaemonMetrics metrics("1.0");
  metrics.ShowCni(
      [] { return DaemonMetrics::Cni{.attached = 3, .pending_deletions = 2, .adds = 5}; });
  const std::string text = metrics.Text();
  EXPECT_NE(text.find("berth_cni_pending_deletions 2"), std::string::npos) << text;
  EXPECT_NE(text.find("berth_cni_attached 3"), std::string::npos);
  EXPECT_NE(text.find("berth_cni_operations_total{operation=\"ADD\",result=\"succeeded\"} 5"),
            std::string::npos);
}

}  // namespace
}  // namespace berth
