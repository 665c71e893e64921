#include "src/image/pull/bandwidth.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace berth {
namespace {

TEST(Bandwidth, WithoutALimitNobodyWaits) {
  Bandwidth bandwidth(0);
  EXPECT_EQ(bandwidth.Take(int64_t{1} << 40), absl::ZeroDuration());
}

TEST(Bandwidth, MakesAReceiverWaitForWhatItsBytesAreWorth) {
  Bandwidth bandwidth(1 << 20);
  absl::Duration waited;
  // 200 KiB, of which a tenth of a second's worth is free.
  for (int i = 0; i < 20; ++i) waited += bandwidth.Take(10 << 10);
  EXPECT_GT(waited, absl::ZeroDuration());
  EXPECT_LT(waited, absl::Milliseconds(200));
}

TEST(Bandwidth, OneLimitCountsForAllThreads) {
  Bandwidth bandwidth(1 << 20);
  std::vector<std::thread> threads;
  std::vector<absl::Duration> waited(4);
  for (size_t t = 0; t < waited.size(); ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 3; ++i) waited[t] += bandwidth.Take(32 << 10);
    });
  }
  for (std::thread& thread : threads) thread.join();
  // No thread alone would have been over the allowance.
  absl::Duration all;
  for (const absl::Duration each : waited) all += each;
  EXPECT_GT(all, absl::ZeroDuration());
}

TEST(Bandwidth, ALiftedLimitIsNone) {
  Bandwidth bandwidth(1);
  bandwidth.SetLimit(0);
  EXPECT_EQ(bandwidth.Take(1 << 30), absl::ZeroDuration());
}

TEST(Bandwidth, ANewLimitCounts) {
  Bandwidth bandwidth(0);
  bandwidth.SetLimit(1 << 20);
  EXPECT_GT(bandwidth.Take(1 << 17), absl::ZeroDuration());
}

}  // namespace
}  // namespace berth
