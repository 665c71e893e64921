#include "src/image/pull/retry_after.h"

#include "gtest/gtest.h"

namespace berth {
namespace {

const absl::Time kNow = absl::FromUnixSeconds(946684799);  // Fri, 31 Dec 1999 23:59:59 GMT

TEST(ParseRetryAfter, TakesSecondsAndDates) {
  EXPECT_EQ(ParseRetryAfter("120", kNow), absl::Seconds(120));
  EXPECT_EQ(ParseRetryAfter(" 0 ", kNow), absl::ZeroDuration());
  EXPECT_EQ(ParseRetryAfter("Sat, 01 Jan 2000 00:00:09 GMT", kNow), absl::Seconds(10));
  EXPECT_EQ(ParseRetryAfter("Fri, 31 Dec 1999 23:00:00 GMT", kNow), absl::ZeroDuration());
}

TEST(ParseRetryAfter, IgnoresNonsenseAndBoundsTheHuge) {
  for (const char* text : {"", "soon", "-5", "1.5", "Sat, 01 Foo 2000 00:00:09 GMT"}) {
    EXPECT_EQ(ParseRetryAfter(text, kNow), absl::ZeroDuration()) << text;
  }
  EXPECT_EQ(ParseRetryAfter("99999999999999999999", kNow), absl::Hours(365 * 24));
  EXPECT_EQ(ParseRetryAfter("Fri, 31 Dec 9999 23:59:59 GMT", kNow), absl::Hours(365 * 24));
}

TEST(RetryAfterOf, KnowsWhatTheRegistryAskedFor) {
  absl::Status busy = absl::ResourceExhaustedError("429");
  EXPECT_FALSE(IsTransient(busy));
  SetRetryAfter("7", &busy);
  EXPECT_TRUE(IsTransient(busy));
  EXPECT_EQ(RetryAfterOf(busy, kNow), absl::Seconds(7));
  EXPECT_TRUE(IsTransient(absl::UnavailableError("reset")));
  EXPECT_EQ(RetryAfterOf(absl::UnavailableError("reset"), kNow), absl::ZeroDuration());
  EXPECT_FALSE(IsTransient(absl::NotFoundError("404")));
}

TEST(RetryPause, DoublesWithinTheLongestAndSpreads) {
  const absl::Duration base = absl::Seconds(1), longest = absl::Seconds(10);
  EXPECT_EQ(RetryPause(1, absl::ZeroDuration(), base, longest, 0), absl::Milliseconds(500));
  EXPECT_EQ(RetryPause(3, absl::ZeroDuration(), base, longest, 0), absl::Seconds(2));
  EXPECT_EQ(RetryPause(3, absl::ZeroDuration(), base, longest, 0.5), absl::Seconds(3));
  EXPECT_EQ(RetryPause(1000, absl::ZeroDuration(), base, longest, 0), absl::Seconds(5));
}

TEST(RetryPause, ObeysTheRegistryWithinTheLongest) {
  EXPECT_EQ(RetryPause(1, absl::Seconds(7), absl::Seconds(1), absl::Seconds(10), 0.9),
            absl::Seconds(7));
  EXPECT_EQ(RetryPause(1, absl::Hours(1), absl::Seconds(1), absl::Seconds(10), 0.9),
            absl::Seconds(10));
}

}  // namespace
}  // namespace berth
