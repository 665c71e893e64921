#include "src/image/pull/stall_guard.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace berth {
namespace {

using testing::HasSubstr;

constexpr StallLimits kLimits = {.header_timeout = absl::Seconds(10),
                                 .idle = absl::Seconds(20),
                                 .window = absl::Seconds(60),
                                 .min_bytes_per_second = 100};

absl::Duration At(int seconds) { return absl::Seconds(seconds); }

TEST(StallGuard, NoAnswer) {
  StallGuard guard(kLimits, At(0));
  EXPECT_EQ(guard.Check(At(9)), "");
  EXPECT_THAT(guard.Check(At(10)), HasSubstr("no answer for 10s"));
}

TEST(StallGuard, SilenceAfterTheFirstByte) {
  StallGuard guard(kLimits, At(0));
  guard.Received(1, At(5));
  EXPECT_EQ(guard.Check(At(24)), "");
  EXPECT_THAT(guard.Check(At(25)), HasSubstr("no byte for 20s"));
}

TEST(StallGuard, TrickleIsNoProgress) {
  StallGuard guard(kLimits, At(0));
  for (int second = 1; second < 60; ++second) {
    guard.Received(1, At(second));
    EXPECT_EQ(guard.Check(At(second)), "");
  }
  guard.Received(1, At(60));
  EXPECT_THAT(guard.Check(At(60)), HasSubstr("only 60 bytes in 1m"));
}

TEST(StallGuard, EveryWindowStartsAnew) {
  StallGuard guard(kLimits, At(0));
  guard.Received(1'000'000, At(1));
  for (int second = 10; second <= 60; second += 10) guard.Received(1, At(second));
  EXPECT_EQ(guard.Check(At(60)), "");
  for (int second = 70; second <= 120; second += 10) guard.Received(1, At(second));
  EXPECT_THAT(guard.Check(At(120)), HasSubstr("only 6 bytes"));
}

TEST(StallGuard, EnoughBytesKeepItGoing) {
  StallGuard guard(kLimits, At(0));
  for (int second = 1; second <= 600; ++second) {
    guard.Received(100, At(second));
    EXPECT_EQ(guard.Check(At(second)), "") << second;
  }
}

TEST(StallGuard, TimeOfTheReceiverDoesNotCount) {
  StallGuard guard(kLimits, At(0));
  guard.Received(10, At(1));
  guard.Excuse(At(100));
  EXPECT_EQ(guard.Check(At(101)), "");
  EXPECT_THAT(guard.Check(At(121)), HasSubstr("no byte"));
}

}  // namespace
}  // namespace berth
