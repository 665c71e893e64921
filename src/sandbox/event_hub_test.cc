#include "src/sandbox/event_hub.h"

#include <gtest/gtest.h>

#include <thread>

#include "absl/time/time.h"

namespace berth {
namespace {

NodeEvent Named(const std::string& id) { return {.type = EventType::kStarted, .id = id}; }

TEST(EventHub, GivesEachSubscriberAllInOrder) {
  EventHub hub;
  const auto first = hub.Subscribe(10), second = hub.Subscribe(10);
  for (const char* id : {"a", "b", "c"}) hub.Publish(Named(id));
  for (const auto& subscription : {first.get(), second.get()}) {
    int64_t last = 0;
    for (const char* id : {"a", "b", "c"}) {
      const EventPtr event = subscription->Next(absl::InfiniteFuture());
      ASSERT_NE(event, nullptr);
      EXPECT_EQ(event->id, id);
      EXPECT_GT(event->at, last);
      last = event->at;
    }
    EXPECT_EQ(subscription->Next(absl::InfinitePast()), nullptr);
  }
}

TEST(EventHub, DropsTheOldestOfASubscriberThatDoesNotTakeThem) {
  EventHub hub;
  const auto slow = hub.Subscribe(2), quick = hub.Subscribe(10);
  for (const char* id : {"a", "b", "c", "d"}) hub.Publish(Named(id));
  EXPECT_EQ(slow->dropped(), 2u);
  EXPECT_EQ(slow->Next(absl::InfinitePast())->id, "c");
  EXPECT_EQ(slow->Next(absl::InfinitePast())->id, "d");
  EXPECT_EQ(quick->dropped(), 0u);
  EXPECT_EQ(quick->Next(absl::InfinitePast())->id, "a");
}

TEST(EventHub, TellsNothingOfBeforeTheSubscription) {
  EventHub hub;
  EXPECT_FALSE(hub.HasSubscribers());
  hub.Publish(Named("before"));
  {
    const auto subscription = hub.Subscribe(1);
    EXPECT_TRUE(hub.HasSubscribers());
    EXPECT_EQ(subscription->Next(absl::InfinitePast()), nullptr);
  }
  EXPECT_FALSE(hub.HasSubscribers());
}

TEST(EventHub, WakeEndsTheWait) {
  EventHub hub;
  const auto subscription = hub.Subscribe(1);
  std::thread waker([&] { subscription->Wake(); });
  EXPECT_EQ(subscription->Next(absl::InfiniteFuture()), nullptr);
  waker.join();
}

}  // namespace
}  // namespace berth
