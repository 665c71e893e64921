#include "src/image/flights.h"

#include <atomic>
#include <thread>

#include "absl/synchronization/notification.h"
#include "gtest/gtest.h"

namespace berth {
namespace {

// A leader whose work waits until the follower has been heard, and what both got.
struct Pair {
  absl::StatusOr<std::string> leader, follower;
  int runs = 0;
};

Pair RunPair(const absl::StatusOr<std::string>& leaders_result) {
  Flights flights;
  Pair pair;
  std::atomic<int> runs = 0;
  absl::Notification leading, follower_heard;
  std::thread leader([&] {
    pair.leader = flights.Join(
        "image", "key", {}, [&](const Flights::Progress& progress) -> absl::StatusOr<std::string> {
          ++runs;
          progress({.layer = "l", .state = "downloading"});
          leading.Notify();
          follower_heard.WaitForNotification();
          return leaders_result;
        });
  });
  leading.WaitForNotification();
  PullRequest request;
  request.progress = [&](const PullProgress& progress) {
    if (progress.layer == "l" && !follower_heard.HasBeenNotified()) follower_heard.Notify();
  };
  pair.follower = flights.Join("image", "key", request,
                               [&](const Flights::Progress&) -> absl::StatusOr<std::string> {
                                 ++runs;
                                 return "own";
                               });
  leader.join();
  pair.runs = runs;
  return pair;
}

TEST(Flights, FollowerGetsTheLeadersResultAndProgress) {
  const Pair pair = RunPair("id");
  EXPECT_EQ(*pair.leader, "id");
  EXPECT_EQ(*pair.follower, "id");
  EXPECT_EQ(pair.runs, 1);
}

TEST(Flights, FollowerGetsTheLeadersError) {
  const Pair pair = RunPair(absl::NotFoundError("nothing"));
  EXPECT_EQ(pair.follower.status(), absl::NotFoundError("nothing"));
  EXPECT_EQ(pair.runs, 1);
}

TEST(Flights, FollowerOfACancelledLeaderRunsItsOwn) {
  const Pair pair = RunPair(absl::CancelledError("cancelled"));
  EXPECT_EQ(pair.leader.status().code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(*pair.follower, "own");
  EXPECT_EQ(pair.runs, 2);
}

TEST(Flights, CancelledFollowerLeavesTheLeaderAlone) {
  Flights flights;
  absl::Notification leading, follower_gone;
  absl::StatusOr<std::string> result;
  std::thread leader([&] {
    result = flights.Join("image", "key", {},
                          [&](const Flights::Progress&) -> absl::StatusOr<std::string> {
                            leading.Notify();
                            follower_gone.WaitForNotification();
                            return "id";
                          });
  });
  leading.WaitForNotification();
  PullRequest request;
  request.cancelled = [] { return true; };
  const auto follower = flights.Join("image", "key", request,
                                     [](const Flights::Progress&) -> absl::StatusOr<std::string> {
                                       return absl::InternalError("must not run");
                                     });
  EXPECT_EQ(follower.status().code(), absl::StatusCode::kCancelled);
  follower_gone.Notify();
  leader.join();
  EXPECT_EQ(*result, "id");
}

TEST(Flights, OtherKeysDoNotWait) {
  Flights flights;
  const auto outer = flights.Join("image", "a", {}, [&](const Flights::Progress&) {
    return flights.Join(
        "image", "b", {},
        [](const Flights::Progress&) -> absl::StatusOr<std::string> { return "b"; });
  });
  EXPECT_EQ(*outer, "b");
}

TEST(Flights, NextCallAfterTheEndRunsAgain) {
  Flights flights;
  int runs = 0;
  for (int i = 0; i < 2; ++i) {
    EXPECT_TRUE(flights
                    .Join("image", "a", {},
                          [&](const Flights::Progress&) -> absl::StatusOr<std::string> {
                            ++runs;
                            return "x";
                          })
                    .ok());
  }
  EXPECT_EQ(runs, 2);
}

}  // namespace
}  // namespace berth
