#include "src/sandbox/stats_sampler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace berth {
namespace {

using ::testing::Optional;

constexpr int64_t kSecond = 1'000'000'000;

TEST(RateWindow, IsUnsetUntilThereAreTwoSamples) {
  RateWindow rate;
  EXPECT_EQ(rate.Add(100 * kSecond, 5, absl::Seconds(10)), std::nullopt);
  EXPECT_THAT(rate.Add(101 * kSecond, 505, absl::Seconds(10)), Optional(500u));
}

TEST(RateWindow, IsOverTheWindowHoweverOftenOneAsks) {
  RateWindow rate;
  std::optional<uint64_t> last;
  // 100 a second for 60 s, then nothing.
  for (int tenth = 0; tenth <= 600; ++tenth)
    last = rate.Add(tenth * kSecond / 10, static_cast<uint64_t>(tenth) * 10, absl::Seconds(10));
  EXPECT_THAT(last, Optional(100u));
  last = rate.Add(65 * kSecond, 6000, absl::Seconds(10));
  EXPECT_GT(*last, 40u);
  EXPECT_LT(*last, 70u) << "half of the window";
  last = rate.Add(75 * kSecond, 6000, absl::Seconds(10));
  EXPECT_THAT(last, Optional(0u));
}

TEST(RateWindow, StartsAnewWhenTheCounterFell) {
  RateWindow rate;
  rate.Add(1 * kSecond, 1000, absl::Seconds(10));
  rate.Add(2 * kSecond, 2000, absl::Seconds(10));
  EXPECT_EQ(rate.Add(3 * kSecond, 10, absl::Seconds(10)), std::nullopt);
  EXPECT_THAT(rate.Add(4 * kSecond, 30, absl::Seconds(10)), Optional(20u));
}

TEST(RateWindow, OfSamplesAtTheSameTimeIsUnset) {
  RateWindow rate;
  rate.Add(kSecond, 1, absl::Seconds(10));
  EXPECT_EQ(rate.Add(kSecond, 2, absl::Seconds(10)), std::nullopt);
}

}  // namespace
}  // namespace berth
