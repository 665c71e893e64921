#include "src/metrics/daemon_metrics.h"

#include <gtest/gtest.h>

#include "absl/strings/match.h"

namespace berth {
namespace {

void ExpectLine(const std::string& text, const std::string& line) {
  EXPECT_TRUE(absl::StrContains("\n" + text, "\n" + line + "\n")) << line << "\n" << text;
}

TEST(DaemonMetrics, CountsByOperationAndCode) {
  DaemonMetrics metrics("1.2.3");
  metrics.CountOperation("Version", "OK", absl::Milliseconds(2));
  metrics.CountOperation("Version", "OK", absl::Milliseconds(2));
  metrics.CountOperation("RunPodSandbox", "ALREADY_EXISTS", absl::Seconds(1));
  const std::string text = metrics.Text();
  ExpectLine(text, "berth_cri_operations_total{code=\"OK\",operation=\"Version\"} 2");
  ExpectLine(text,
             "berth_cri_operation_duration_seconds_bucket{operation=\"Version\",le=\"0.0025\"} 2");
  ExpectLine(text, "berth_build_info{version=\"1.2.3\"} 1");
}

TEST(DaemonMetrics, ObservesStagesPullsNetworkAndStore) {
  DaemonMetrics metrics("1");
  metrics.ObserveStage("RunPodSandbox", "network", absl::Milliseconds(3));
  metrics.CountPull("", absl::Seconds(4));
  metrics.CountPull("unauthorized", absl::Milliseconds(10));
  metrics.ObserveNetwork("attach", false, absl::Milliseconds(7));
  metrics.ObserveStore("sync", absl::Milliseconds(1));
  const std::string text = metrics.Text();
  ExpectLine(text,
             "berth_stage_duration_seconds_count{operation=\"RunPodSandbox\",stage=\"network\"} 1");
  ExpectLine(text, "berth_image_pull_duration_seconds_sum{result=\"succeeded\"} 4");
  ExpectLine(text, "berth_image_pull_errors_total{reason=\"unauthorized\"} 1");
  ExpectLine(
      text,
      "berth_network_operation_duration_seconds_count{operation=\"attach\",result=\"error\"} 1");
  ExpectLine(text, "berth_store_transaction_duration_seconds_count{kind=\"sync\"} 1");
}

TEST(DaemonMetrics, ShowsReadingsOfTheMomentOfTheScrapeAsOneFamilyEach) {
  DaemonMetrics metrics("1");
  double running = 1;
  metrics.AddReader([&]() -> std::vector<MetricReading> {
    return {{"berth_things", "Things", running, {{"state", "running"}}},
            {"berth_other_total", "Others", 5},
            {"berth_things", "Things", 9, {{"state", "stopped"}}}};
  });
  running = 7;
  const std::string text = metrics.Text();
  ExpectLine(text,
             "# TYPE berth_things gauge\nberth_things{state=\"running\"} "
             "7\nberth_things{state=\"stopped\"} 9");
  ExpectLine(text, "# TYPE berth_other_total counter\nberth_other_total 5");
}

TEST(DaemonMetrics, NamesCountersAsOpenMetricsDoes) {
  DaemonMetrics metrics("1");
  metrics.CountOperation("Version", "OK", absl::Milliseconds(2));
  const std::string text = metrics.OpenMetricsText();
  ExpectLine(text, "# TYPE berth_cri_operations counter");
  ExpectLine(text, "berth_cri_operations_total{code=\"OK\",operation=\"Version\"} 1");
  ExpectLine(text, "# TYPE berth_cri_operation_duration_seconds histogram");
}

TEST(ReadProcessMetrics, TellsOfThisProcess) {
  DaemonMetrics metrics("1");
  metrics.AddReader(ReadProcessMetrics);
  std::map<std::string, double> values;
  for (const MetricReading& reading : ReadProcessMetrics()) values[reading.name] = reading.value;
  EXPECT_GE(values["process_open_fds"], 3);
  EXPECT_GT(values["process_max_fds"], values["process_open_fds"]);
  EXPECT_GT(values["process_resident_memory_bytes"], 100 << 10);
  EXPECT_GE(values["process_threads"], 1);
  EXPECT_GT(values["process_start_time_seconds"], 1.6e9);
}

}  // namespace
}  // namespace berth
