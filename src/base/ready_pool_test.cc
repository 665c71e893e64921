#include "src/base/ready_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>

#include "absl/synchronization/notification.h"

namespace berth {
namespace {

using Pool = ReadyPool<std::unique_ptr<int>>;

// Numbers what it makes.
Pool::Make Counting(std::atomic<int>* made) {
  return
      [made]() -> absl::StatusOr<std::unique_ptr<int>> { return std::make_unique<int>((*made)++); };
}

void AwaitReady(const Pool& pool, size_t count) {
  while (pool.ready() != count) sched_yield();
}

TEST(ReadyPoolTest, MakesNothingBeforeItsStart) {
  std::atomic<int> made = 0;
  const auto pool = *Pool::Create({.what = "thing", .size = 2}, Counting(&made));
  EXPECT_FALSE(pool->Take().has_value());
  EXPECT_EQ(made, 0);
}

TEST(ReadyPoolTest, GivesEachOnceInTheOrderInWhichTheyWereMade) {
  std::atomic<int> made = 0;
  const auto pool = *Pool::Create({.what = "thing", .size = 2}, Counting(&made));
  pool->Start();
  for (int i = 0; i < 6; ++i) {
    AwaitReady(*pool, 2);
    const std::optional<std::unique_ptr<int>> taken = pool->Take();
    ASSERT_TRUE(taken.has_value());
    EXPECT_EQ(**taken, i);
  }
}

TEST(ReadyPoolTest, WhatIsPutBackIsTheNext) {
  std::atomic<int> made = 0;
  const auto pool = *Pool::Create({.what = "thing", .size = 2}, Counting(&made));
  pool->Start();
  AwaitReady(*pool, 2);
  pool->PutBack(*pool->Take());
  EXPECT_EQ(**pool->Take(), 0);
}

TEST(ReadyPoolTest, MakesNoMoreOnceItWasDrained) {
  std::atomic<int> made = 0;
  const auto pool = *Pool::Create({.what = "thing", .size = 3}, Counting(&made));
  pool->Start();
  AwaitReady(*pool, 3);
  EXPECT_EQ(pool->Drain().size(), 3u);
  EXPECT_FALSE(pool->Take().has_value());
  EXPECT_EQ(made, 3);
  pool->Start();
  AwaitReady(*pool, 3);
}

// Between them is never a quiet moment, and the pool never empty.
TEST(ReadyPoolTest, IsFilledThoughOneIsTakenAllTheTime) {
  std::atomic<int> made = 0;
  const auto pool = *Pool::Create({.what = "thing", .size = 8}, Counting(&made));
  pool->Start();
  AwaitReady(*pool, 8);
  for (int taken = 0; taken < 20;) {
    if (pool->Take().has_value()) ++taken;
  }
  AwaitReady(*pool, 8);
  EXPECT_EQ(made, 28);
}

TEST(ReadyPoolTest, GoesOnAfterAFailure) {
  std::atomic<int> calls = 0;
  const auto pool = *Pool::Create({.what = "thing", .size = 1},
                                  [&calls]() -> absl::StatusOr<std::unique_ptr<int>> {
                                    if (calls++ == 0)
                                      return absl::ResourceExhaustedError("not now");
                                    return std::make_unique<int>(0);
                                  });
  pool->Start();
  AwaitReady(*pool, 1);
  EXPECT_EQ(calls, 2);
}

TEST(ReadyPoolTest, EndsWhileItMakesOne) {
  absl::Notification begun;
  {
    const auto pool = *Pool::Create({.what = "thing", .size = 1},
                                    [&begun]() -> absl::StatusOr<std::unique_ptr<int>> {
                                      if (!begun.HasBeenNotified()) begun.Notify();
                                      return std::make_unique<int>(0);
                                    });
    pool->Start();
    begun.WaitForNotification();
  }
}

}  // namespace
}  // namespace berth
