#include "src/base/token_bucket.h"

#include <gtest/gtest.h>

namespace berth {
namespace {

const absl::Time kStart = absl::UnixEpoch();

TEST(TokenBucket, GivesTheBurstAtOnce) {
  TokenBucket bucket(10, 100, kStart);
  EXPECT_EQ(bucket.Take(60, kStart), absl::ZeroDuration());
  EXPECT_EQ(bucket.Take(40, kStart), absl::ZeroDuration());
}

TEST(TokenBucket, TellsHowLongADebtTakes) {
  TokenBucket bucket(10, 100, kStart);
  EXPECT_EQ(bucket.Take(130, kStart), absl::Seconds(3));
  EXPECT_EQ(bucket.Take(10, kStart + absl::Seconds(3)), absl::Seconds(1));
}

TEST(TokenBucket, RefillsUpToTheBurst) {
  TokenBucket bucket(10, 100, kStart);
  EXPECT_EQ(bucket.Take(100, kStart), absl::ZeroDuration());
  EXPECT_EQ(bucket.Take(100, kStart + absl::Hours(1)), absl::ZeroDuration());
  EXPECT_EQ(bucket.Take(10, kStart + absl::Hours(1)), absl::Seconds(1));
}

TEST(TokenBucket, KeepsTheRateOverManySmallTakes) {
  TokenBucket bucket(1000, 1, kStart);
  absl::Time now = kStart;
  for (int i = 0; i < 5001; ++i) now += bucket.Take(1, now);
  EXPECT_NEAR(absl::ToDoubleSeconds(now - kStart), 5.0, 0.001);
}

TEST(TokenBucket, NewRateCountsFromTheChange) {
  TokenBucket bucket(10, 10, kStart);
  EXPECT_EQ(bucket.Take(20, kStart), absl::Seconds(1));
  bucket.Change(20, 5, kStart);
  EXPECT_EQ(bucket.Take(10, kStart), absl::Seconds(1));
  EXPECT_EQ(bucket.Take(5, kStart + absl::Hours(1)), absl::ZeroDuration());
  EXPECT_EQ(bucket.Take(20, kStart + absl::Hours(1)), absl::Seconds(1));
}

TEST(TokenBucket, EarnsNothingFromAClockThatGoesBack) {
  TokenBucket bucket(10, 10, kStart);
  EXPECT_EQ(bucket.Take(10, kStart), absl::ZeroDuration());
  EXPECT_EQ(bucket.Take(10, kStart - absl::Hours(1)), absl::Seconds(1));
}

}  // namespace
}  // namespace berth
