#include "hack/benchmarks/samples.h"

#include <gtest/gtest.h>

namespace berth::bench {
namespace {

Samples Of(const std::vector<double>& values) {
  Samples samples;
  for (const double value : values) samples.Add(value);
  return samples;
}

TEST(Samples, MedianOfAnOddCountIsTheMiddleValue) { EXPECT_EQ(Of({9, 1, 5}).Median(), 5); }

TEST(Samples, MedianOfAnEvenCountLiesBetweenTheMiddleTwo) {
  EXPECT_EQ(Of({4, 1, 3, 2}).Median(), 2.5);
}

TEST(Samples, QuantileInterpolates) { EXPECT_DOUBLE_EQ(Of({0, 10}).Quantile(0.9), 9); }

TEST(Samples, ExtremesAreTheSmallestAndLargest) {
  EXPECT_EQ(Of({7, -2, 3}).Min(), -2);
  EXPECT_EQ(Of({7, -2, 3}).Max(), 7);
}

TEST(Samples, OneValueIsItsOwnEveryQuantile) { EXPECT_EQ(Of({6}).Quantile(0.9), 6); }

TEST(Samples, EmptyHasZeroMedian) { EXPECT_EQ(Of({}).Median(), 0); }

}  // namespace
}  // namespace berth::bench
