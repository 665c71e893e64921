#include "src/image/bandwidth_split.h"

#include <gtest/gtest.h>

#include <memory>

namespace berth {
namespace {

TEST(BandwidthSplit, GivesOneAllAndTwoHalf) {
  BandwidthSplit split(1000);
  const BandwidthSplit::Share first(split);
  EXPECT_EQ(first.bytes_per_second(), 1000);
  auto second = std::make_unique<BandwidthSplit::Share>(split);
  EXPECT_EQ(first.bytes_per_second(), 500);
  EXPECT_EQ(second->bytes_per_second(), 500);
  second.reset();
  EXPECT_EQ(first.bytes_per_second(), 1000);
}

TEST(BandwidthSplit, NeverGivesNothing) {
  BandwidthSplit split(1);
  const BandwidthSplit::Share first(split), second(split);
  EXPECT_EQ(first.bytes_per_second(), 1);
}

TEST(BandwidthSplit, NoLimitIsNone) {
  BandwidthSplit split(0);
  const BandwidthSplit::Share share(split);
  EXPECT_EQ(share.bytes_per_second(), 0);
}

}  // namespace
}  // namespace berth
