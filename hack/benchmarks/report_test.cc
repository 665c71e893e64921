#include "hack/benchmarks/report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace berth::bench {
namespace {

using ::testing::HasSubstr;

const Metric kMetric = {.name = "exec", .unit = "ms", .pace = "back to back"};

TEST(Report, DividesTheFirstPeersMedianByTheOthers) {
  Report report({"berth", "other"});
  report.Add(kMetric, "berth", 2);
  report.Add(kMetric, "other", 8);
  EXPECT_THAT(report.Table(), HasSubstr("0.250"));
  const auto json = report.Json();
  for (const auto& entry : json["measurements"]) {
    EXPECT_EQ(entry.value("ratio", -1.0), entry["peer"] == "other" ? 0.25 : -1.0);
  }
}

TEST(Report, KeepsPacesApart) {
  Report report({"berth"});
  report.Add(kMetric, "berth", 1);
  Metric idle = kMetric;
  idle.pace = "50 ms idle";
  report.Add(idle, "berth", 3);
  ASSERT_EQ(report.Json()["measurements"].size(), 2u);
  EXPECT_EQ(report.Json()["measurements"][1]["median"], 3);
}

TEST(Report, ShowsADashForAPeerWithoutSamples) {
  Report report({"berth", "other"});
  report.Add(kMetric, "other", 8);
  EXPECT_THAT(report.Table(), HasSubstr(" - "));
  EXPECT_FALSE(report.Json()["measurements"][0].contains("ratio"));
}

TEST(Report, NamesFailures) {
  Report report({"berth"});
  report.AddFailure("exec: berth: it broke");
  EXPECT_THAT(report.Table(), HasSubstr("FAILED exec: berth: it broke"));
  EXPECT_EQ(report.Json()["failures"][0], "exec: berth: it broke");
}

}  // namespace
}  // namespace berth::bench
