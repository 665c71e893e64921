// How long berth-monitor waits for who is attached to a container.
#include <gtest/gtest.h>

#include "src/runtime/monitor/sink_patience.h"

namespace berth::monitor {
namespace {

TEST(SinkPatience, DoesNotRunOutWhileTheSinkHasRoom) {
  SinkPatience patience;
  EXPECT_EQ(patience.Begin(100), SinkPatience::kMs);
  patience.End(103);
  EXPECT_EQ(patience.Begin(100 + SinkPatience::kMs), SinkPatience::kMs - 3);
}

TEST(SinkPatience, AddsUpTheWaitsForOneThatTakesLittle) {
  SinkPatience patience;
  patience.Begin(0);
  patience.End(SinkPatience::kMs - 1);
  patience.Take(SinkPatience::kBytes - 1);
  EXPECT_EQ(patience.Begin(SinkPatience::kMs), 1);
}

TEST(SinkPatience, IsWholeAgainAfterEnoughWasTaken) {
  SinkPatience patience;
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(patience.Begin(0), SinkPatience::kMs);
    patience.End(SinkPatience::kMs - 1);
    patience.Take(SinkPatience::kBytes / 2);
    EXPECT_EQ(patience.Begin(0), 1);
    patience.End(0);
    patience.Take(SinkPatience::kBytes / 2);
  }
}

}  // namespace
}  // namespace berth::monitor
