#include "src/base/steady_time.h"

#include <gtest/gtest.h>

#include <thread>

namespace berth {
namespace {

TEST(SteadyNow, NeverGoesBack) {
  const absl::Time before = SteadyNow();
  EXPECT_LE(before, SteadyNow());
}

TEST(AwaitUntil, EndsWhenTheConditionHolds) {
  absl::Mutex mu;
  bool done = false;
  std::thread other([&] {
    absl::MutexLock lock(&mu);
    done = true;
  });
  {
    absl::MutexLock lock(&mu);
    EXPECT_TRUE(AwaitUntil(mu, absl::Condition(&done), absl::InfiniteFuture()));
  }
  other.join();
}

TEST(AwaitUntil, IsFalseOnceTheDeadlineHasPassed) {
  absl::Mutex mu;
  bool done = false;
  absl::MutexLock lock(&mu);
  EXPECT_FALSE(AwaitUntil(mu, absl::Condition(&done), SteadyNow()));
  EXPECT_FALSE(AwaitUntil(mu, absl::Condition(&done), absl::InfinitePast()));
  done = true;
  EXPECT_TRUE(AwaitUntil(mu, absl::Condition(&done), absl::InfinitePast()));
}

}  // namespace
}  // namespace berth
