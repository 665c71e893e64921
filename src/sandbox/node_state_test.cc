#include "src/sandbox/node_state.h"
#include "src/base/steady_time.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace berth {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

PodPtr MakePod(const std::string& id) { return std::make_shared<PodRecord>(PodRecord{.id = id}); }
ContainerPtr MakeContainer(const std::string& id) {
  return std::make_shared<ContainerRecord>(ContainerRecord{.id = id});
}

bool HasExited(const ContainerRecord& container) {
  return container.status.state == ContainerState::kExited;
}

TEST(NodeState, FindsByFullIdAndByUnambiguousPrefix) {
  EventHub events;
  NodeState state(events);
  state.PutPod(MakePod("abc1"));
  state.PutPod(MakePod("abd2"));
  state.PutContainer(MakeContainer("abc9"));
  EXPECT_EQ((*state.FindPod("abc1"))->id, "abc1");
  EXPECT_EQ((*state.FindPod("abd"))->id, "abd2");
  EXPECT_EQ((*state.FindContainer("a"))->id, "abc9") << "pods do not count among containers";
}

TEST(NodeState, AnAmbiguousPrefixNamesTheCandidates) {
  EventHub events;
  NodeState state(events);
  for (const char* id : {"ab1", "ab2", "ac"}) state.PutPod(MakePod(id));
  const absl::Status status = state.FindPod("ab").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message(), "pod sandbox id \"ab\" is ambiguous: ab1, ab2");
}

TEST(NodeState, NamesOnlyAFewOfManyCandidates) {
  EventHub events;
  NodeState state(events);
  for (int i = 0; i < 100; ++i) state.PutContainer(MakeContainer("a" + std::to_string(i + 100)));
  EXPECT_LT(state.FindContainer("a").status().message().size(), 100u);
}

TEST(NodeState, WhatDoesNotExistIsNotFound) {
  EventHub events;
  NodeState state(events);
  state.PutPod(MakePod("abc"));
  for (const char* id : {"", "abcd", "b", "ABC"}) {
    EXPECT_EQ(state.FindPod(id).status().code(), absl::StatusCode::kNotFound) << id;
  }
  EXPECT_EQ(state.FindContainer("abc").status().message(), "container \"abc\" does not exist");
}

TEST(NodeState, AnIdThatBeginsAnotherIsFoundItself) {
  EventHub events;
  NodeState state(events);
  state.PutPod(MakePod("abc"));
  state.PutPod(MakePod("abcd"));
  ASSERT_TRUE(state.FindPod("abc").ok());
  EXPECT_EQ((*state.FindPod("abc"))->id, "abc");
}

TEST(NodeState, ASnapshotNeverChanges) {
  EventHub events;
  NodeState state(events);
  state.PutPod(MakePod("a"));
  state.PutContainer(MakeContainer("c"));
  const std::shared_ptr<const NodeSnapshot> before = state.Snapshot();
  state.UpdatePod("a", [](PodStatus& status) { status.state = PodState::kReady; });
  state.RemoveContainer("c");
  state.PutPod(MakePod("b"));
  EXPECT_EQ(before->pods.size(), 1u);
  EXPECT_EQ((*before->FindPod("a"))->status.state, PodState::kCreating);
  EXPECT_FALSE(before->FindPod("b").ok());
  EXPECT_EQ(before->containers.size(), 1u);
  EXPECT_EQ(state.Snapshot()->pods.find("a")->second->status.state, PodState::kReady);
  EXPECT_EQ(state.Snapshot()->containers.size(), 0u);
}

TEST(NodeState, AnUpdateReturnsTheNewRecordAndNullForWhatIsGone) {
  EventHub events;
  NodeState state(events);
  state.PutContainer(MakeContainer("c"));
  const ContainerPtr updated =
      state.UpdateContainer("c", [](ContainerRecord& record) { record.status.pid = 5; });
  ASSERT_NE(updated, nullptr);
  EXPECT_EQ(updated->status.pid, 5);
  EXPECT_EQ(state.Snapshot()->containers.find("c")->second, updated);
  EXPECT_EQ(state.UpdateContainer("x", [](ContainerRecord&) { ADD_FAILURE(); }), nullptr);
  EXPECT_EQ(state.UpdatePod("x", [](PodStatus&) { ADD_FAILURE(); }), nullptr);
}

TEST(NodeState, KnowsPodsByNameAndTheContainersOfEach) {
  EventHub events;
  NodeState state(events);
  const auto named = [](const std::string& id, const std::string& name) {
    auto pod = std::make_shared<PodRecord>(PodRecord{.id = id});
    pod->config.name = name;
    return pod;
  };
  const auto in_pod = [](const std::string& id, const std::string& pod) {
    return std::make_shared<ContainerRecord>(ContainerRecord{.id = id, .pod_id = pod});
  };
  const auto ids_of = [&](const std::string& pod) {
    std::vector<std::string> ids;
    for (const ContainerPtr& container : state.Snapshot()->ContainersOf(pod))
      ids.push_back(container->id);
    return ids;
  };
  const PodPtr web = named("p1", "web");
  const std::string name = UniqueName(web->config);
  EXPECT_EQ(state.Snapshot()->PodNamed(name), nullptr);
  state.PutPod(web);
  state.PutPod(named("p2", "db"));
  for (const char* id : {"c3", "c1"}) state.PutContainer(in_pod(id, "p1"));
  state.PutContainer(in_pod("c2", "p2"));
  EXPECT_EQ(state.Snapshot()->PodNamed(name), web);
  EXPECT_THAT(ids_of("p1"), ElementsAre("c1", "c3"));
  state.UpdateContainer("c1", [](ContainerRecord& record) { record.status.pid = 7; });
  EXPECT_EQ(state.Snapshot()->ContainersOf("p1")[0]->status.pid, 7) << "the newest record";
  state.RemoveContainer("c1");
  EXPECT_THAT(ids_of("p1"), ElementsAre("c3"));
  EXPECT_THAT(ids_of("p2"), ElementsAre("c2"));
  state.RemoveContainer("c3");
  EXPECT_THAT(ids_of("p1"), IsEmpty());
  // The same name again, while the first is still there (a record that was damaged).
  state.PutPod(named("p3", "web"));
  state.RemovePod("p1");
  EXPECT_EQ(state.Snapshot()->PodNamed(name)->id, "p3");
  state.RemovePod("p3");
  EXPECT_EQ(state.Snapshot()->PodNamed(name), nullptr);
}

TEST(NodeState, AwaitReturnsAtOnceForWhatIsDoneOrGone) {
  EventHub events;
  NodeState state(events);
  state.PutContainer(MakeContainer("c"));
  EXPECT_TRUE(state.AwaitContainer("gone", absl::InfiniteFuture(), HasExited));
  state.UpdateContainer(
      "c", [](ContainerRecord& record) { record.status.state = ContainerState::kExited; });
  EXPECT_TRUE(state.AwaitContainer("c", absl::InfiniteFuture(), HasExited));
}

TEST(NodeState, AwaitIsFalseAtItsDeadline) {
  EventHub events;
  NodeState state(events);
  state.PutContainer(MakeContainer("c"));
  EXPECT_FALSE(state.AwaitContainer("c", SteadyNow(), HasExited));
}

TEST(NodeState, AwaitWakesByTheChangeAndByTheRemoval) {
  for (const bool remove : {false, true}) {
    EventHub events;
    NodeState state(events);
    state.PutContainer(MakeContainer("c"));
    bool done = false;
    std::thread waiter(
        [&] { done = state.AwaitContainer("c", absl::InfiniteFuture(), HasExited); });
    state.UpdateContainer(
        "c", [](ContainerRecord& record) { record.status.pid = 5; });  // not what it waits for
    if (remove) {
      state.RemoveContainer("c");
    } else {
      state.UpdateContainer(
          "c", [](ContainerRecord& record) { record.status.state = ContainerState::kExited; });
    }
    waiter.join();
    EXPECT_TRUE(done);
  }
}

TEST(NodeState, LosesNoUpdateOfManyThreads) {
  EventHub events;
  NodeState state(events);
  state.PutContainer(MakeContainer("c"));
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 500; ++i)
        state.UpdateContainer("c", [](ContainerRecord& record) { ++record.status.exit_code; });
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(state.Snapshot()->containers.find("c")->second->status.exit_code, 2000);
}

// "C"reated, "S"tarted, s"T"opped, "D"eleted; small letters for pods.
std::string Told(EventHub::Subscription& subscription) {
  std::string told;
  while (const EventPtr event = subscription.Next(absl::InfinitePast())) {
    const char letter = "CSTD"[static_cast<int>(event->type)];
    told += event->of_pod ? static_cast<char>(letter + ('a' - 'A')) : letter;
  }
  return told;
}

class NodeStateEvents : public testing::Test {
 protected:
  void SetUp() override {
    auto pod = std::make_shared<PodRecord>(PodRecord{.id = "pod"});
    pod->status.state = PodState::kReady;
    state_.PutPod(pod);
    auto container =
        std::make_shared<ContainerRecord>(ContainerRecord{.id = "one", .pod_id = "pod"});
    state_.PutContainer(container);
    auto other = std::make_shared<ContainerRecord>(ContainerRecord{.id = "x", .pod_id = "other"});
    state_.PutContainer(other);
  }
  void SetState(ContainerState next, const std::string& reason = "") {
    state_.UpdateContainer("one", [&](ContainerRecord& record) {
      record.status.state = next;
      record.status.reason = reason;
    });
  }

  EventHub events_;
  NodeState state_{events_};
  const std::unique_ptr<EventHub::Subscription> subscription_ = events_.Subscribe(100);
};

TEST_F(NodeStateEvents, TellALifeInOrder) {
  EXPECT_EQ(Told(*subscription_), "csC") << "what is in no pod is not told";
  SetState(ContainerState::kRunning);
  SetState(ContainerState::kRunning);
  SetState(ContainerState::kExited);
  state_.UpdatePod("pod", [](PodStatus& status) { status.state = PodState::kNotReady; });
  state_.UpdatePod("pod", [](PodStatus& status) { status.ips.clear(); });
  state_.RemoveContainer("one");
  state_.RemoveContainer("one");
  state_.RemovePod("pod");
  EXPECT_EQ(Told(*subscription_), "STtDd");
}

TEST_F(NodeStateEvents, AProcessThatEndsBeforeItsStartIsKnownHasStarted) {
  Told(*subscription_);
  SetState(ContainerState::kExited, "Completed");
  EXPECT_EQ(Told(*subscription_), "ST");
}

TEST_F(NodeStateEvents, AFailedStartHasNotStarted) {
  Told(*subscription_);
  SetState(ContainerState::kExited, kStartErrorReason);
  EXPECT_EQ(Told(*subscription_), "T");
}

TEST_F(NodeStateEvents, HoldThePodAndItsContainersAsTheyWere) {
  Told(*subscription_);
  SetState(ContainerState::kRunning);
  state_.RemoveContainer("one");
  const EventPtr started = subscription_->Next(absl::InfinitePast());
  const EventPtr deleted = subscription_->Next(absl::InfinitePast());
  ASSERT_NE(deleted, nullptr);
  ASSERT_EQ(started->containers.size(), 1u);
  EXPECT_EQ(started->containers[0]->status.state, ContainerState::kRunning);
  EXPECT_EQ(started->pod->id, "pod");
  ASSERT_EQ(deleted->containers.size(), 1u) << "what was deleted is told as it was before";
  EXPECT_EQ(deleted->containers[0]->id, "one");
}

}  // namespace
}  // namespace berth
