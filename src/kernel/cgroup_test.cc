#include "src/kernel/cgroup.h"

#include <gtest/gtest.h>

namespace berth {
namespace {

TEST(CpuWeightFromShares, KeepsTheEndsAndTheMiddle) {
  const struct {
    int64_t shares, weight;
  } cases[] = {{-5, 1}, {0, 1}, {2, 1}, {1024, 100}, {262144, 10000}, {1 << 30, 10000}};
  for (const auto& each : cases)
    EXPECT_EQ(CpuWeightFromShares(each.shares), each.weight) << each.shares;
}

TEST(CpuWeightFromShares, NeverFallsAndStaysInRange) {
  int64_t last = 1;
  for (int64_t shares = 2; shares <= 262144; ++shares) {
    const int64_t weight = CpuWeightFromShares(shares);
    ASSERT_GE(weight, last) << shares;
    ASSERT_LE(weight, 10000) << shares;
    last = weight;
  }
}

}  // namespace
}  // namespace berth
