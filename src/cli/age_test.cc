#include "src/cli/age.h"

#include <gtest/gtest.h>

namespace berth::cli {
namespace {

const absl::Time kNow = absl::FromUnixSeconds(1767225600);  // 2026-01-01T00:00:00Z

TEST(DescribeDuration, NamesTheLargestWholeUnit) {
  EXPECT_EQ(DescribeDuration(absl::Milliseconds(900)), "less than a second");
  EXPECT_EQ(DescribeDuration(absl::Seconds(-5)), "less than a second");
  EXPECT_EQ(DescribeDuration(absl::Seconds(1)), "1 second");
  EXPECT_EQ(DescribeDuration(absl::Seconds(59)), "59 seconds");
  EXPECT_EQ(DescribeDuration(absl::Seconds(61)), "1 minute");
  EXPECT_EQ(DescribeDuration(absl::Hours(23)), "23 hours");
  EXPECT_EQ(DescribeDuration(absl::Hours(48)), "2 days");
  EXPECT_EQ(DescribeDuration(absl::Hours(24 * 15)), "2 weeks");
  EXPECT_EQ(DescribeDuration(absl::Hours(24 * 800)), "2 years");
}

TEST(FormatAgo, CountsFromUnixNanoseconds) {
  EXPECT_EQ(FormatAgo(absl::ToUnixNanos(kNow - absl::Minutes(3)), kNow), "3 minutes ago");
  EXPECT_EQ(FormatAgo(0, kNow), "-");
}

TEST(ParseSince, TakesADurationOrATime) {
  EXPECT_EQ(*ParseSince("10m", kNow), kNow - absl::Minutes(10));
  EXPECT_EQ(*ParseSince("1h30m", kNow), kNow - absl::Minutes(90));
  EXPECT_EQ(*ParseSince("2026-01-01T01:00:00+01:00", kNow), kNow);
  EXPECT_FALSE(ParseSince("yesterday", kNow).ok());
  EXPECT_FALSE(ParseSince("-5m", kNow).ok());
  EXPECT_FALSE(ParseSince("", kNow).ok());
}

}  // namespace
}  // namespace berth::cli
