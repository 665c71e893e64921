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
  EXPECT_FALSE(hub.Tells(EventType::kStarted));
  hub.Publish(Named("before"));
  {
    const auto subscription = hub.Subscribe(1);
    EXPECT_TRUE(hub.Tells(EventType::kStarted));
    EXPECT_EQ(subscription->Next(absl::InfinitePast()), nullptr);
  }
  EXPECT_FALSE(hub.Tells(EventType::kStarted));
}

TEST(EventHub, TellsASubscriberOfItsTypesOnly) {
  EventHub hub;
  const auto ends = hub.Subscribe(2, {EventType::kStopped, EventType::kDeleted});
  EXPECT_FALSE(hub.Tells(EventType::kStarted));
  EXPECT_TRUE(hub.Tells(EventType::kDeleted));
  hub.Publish({.type = EventType::kStopped, .id = "a"});
  for (const char* id : {"b", "c", "d"}) hub.Publish(Named(id));
  hub.Publish({.type = EventType::kDeleted, .id = "a"});
  EXPECT_EQ(ends->dropped(), 0u) << "others take no room in its queue";
  EXPECT_EQ(ends->Next(absl::InfinitePast())->type, EventType::kStopped);
  EXPECT_EQ(ends->Next(absl::InfinitePast())->type, EventType::kDeleted);
  EXPECT_EQ(ends->Next(absl::InfinitePast()), nullptr);
}

TEST(EventHub, TheObserverIsCalledAtOnceUntilItIsTakenAway) {
  EventHub hub;
  std::vector<std::string> seen;
  hub.Observe([&](const NodeEvent& event) {
    EXPECT_GT(event.at, 0);
    seen.push_back(event.id);
  });
  EXPECT_TRUE(hub.Tells(EventType::kCreated));
  hub.Publish(Named("a"));
  EXPECT_EQ(seen, std::vector<std::string>{"a"});
  hub.Observe(nullptr);
  EXPECT_FALSE(hub.Tells(EventType::kCreated));
  hub.Publish(Named("b"));
  EXPECT_EQ(seen, std::vector<std::string>{"a"});
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
