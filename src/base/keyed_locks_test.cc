#include "src/base/keyed_locks.h"

#include <gtest/gtest.h>

#include <optional>
#include <thread>
#include <vector>

#include "absl/synchronization/notification.h"

namespace berth {
namespace {

TEST(KeyedLocks, OneHolderAtATime) {
  KeyedLocks locks;
  int counter = 0;  // unguarded but for the key: TSan would tell
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 1000; ++i) {
        const KeyedLocks::Hold hold = locks.Lock("pod");
        ++counter;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(counter, 4000);
}

TEST(KeyedLocks, OtherKeysAreFree) {
  KeyedLocks locks;
  const KeyedLocks::Hold a = locks.Lock("a");
  const KeyedLocks::Hold b = locks.Lock("b");
  SUCCEED() << "neither waited";
}

TEST(KeyedLocks, AWaiterGoesOnWhenTheHolderLeaves) {
  KeyedLocks locks;
  std::optional<KeyedLocks::Hold> hold(locks.Lock("pod"));
  absl::Notification waiting;
  bool released = false, seen = false;
  std::thread waiter([&] {
    waiting.Notify();
    const KeyedLocks::Hold mine = locks.Lock("pod");
    seen = released;
  });
  waiting.WaitForNotification();
  released = true;
  hold.reset();
  waiter.join();
  EXPECT_TRUE(seen);
}

TEST(KeyedLocks, AMovedHoldReleasesOnce) {
  KeyedLocks locks;
  {
    KeyedLocks::Hold first = locks.Lock("pod");
    const KeyedLocks::Hold second = std::move(first);
  }
  const KeyedLocks::Hold again = locks.Lock("pod");
  SUCCEED() << "it was free";
}

}  // namespace
}  // namespace berth
