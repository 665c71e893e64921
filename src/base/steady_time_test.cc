#include "src/base/steady_time.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

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

TEST(AwaitUntil, IsFalseOnceTheTimeIsOver) {
  absl::Mutex mu;
  bool done = false;
  const absl::Time begin = SteadyNow();
  absl::MutexLock lock(&mu);
  EXPECT_FALSE(AwaitFor(mu, absl::Condition(&done), absl::Milliseconds(20)));
  EXPECT_GE(SteadyNow(), begin + absl::Milliseconds(20));
}

// Waits of all lengths on one mutex that is never free for long.
TEST(AwaitUntil, ManyAtOnceAllEnd) {
  absl::Mutex mu;
  bool done = false, over = false;
  std::thread busy([&] {
    for (bool end = false; !end;) {
      absl::MutexLock lock(&mu);
      end = over;
    }
  });
  std::vector<std::thread> waits;
  std::atomic<int> ended = 0;
  for (int i = 0; i < 20; ++i) {
    waits.emplace_back([&, i] {
      for (int round = 0; round < 20; ++round) {
        absl::MutexLock lock(&mu);
        ended += AwaitFor(mu, absl::Condition(&done), absl::Microseconds(i * 100)) ? 0 : 1;
      }
    });
  }
  for (std::thread& wait : waits) wait.join();
  {
    absl::MutexLock lock(&mu);
    over = true;
  }
  busy.join();
  EXPECT_EQ(ended, 400);
}

}  // namespace
}  // namespace berth
