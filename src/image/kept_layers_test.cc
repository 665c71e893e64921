#include "src/image/kept_layers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/synchronization/notification.h"

namespace berth {
namespace {

using testing::ElementsAre;

TEST(KeptLayersTest, ReleasesWhatItKeptInItsOrder) {
  std::vector<int64_t> released;
  absl::Notification all;
  KeptLayers kept(absl::Milliseconds(1), [&](const std::vector<int64_t>& layers) {
    released.insert(released.end(), layers.begin(), layers.end());
    if (released.size() == 3) all.Notify();
  });
  kept.Keep({1, 2});
  kept.Keep({3});
  all.WaitForNotification();
  EXPECT_THAT(released, ElementsAre(1, 2, 3));
}

TEST(KeptLayersTest, WhatIsNotDueWhenItEndsIsNotReleased) {
  bool released = false;
  {
    KeptLayers kept(absl::Hours(1), [&](const std::vector<int64_t>&) { released = true; });
    kept.Keep({1});
  }
  EXPECT_FALSE(released);
}

}  // namespace
}  // namespace berth
