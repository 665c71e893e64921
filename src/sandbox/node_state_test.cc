#include "src/sandbox/node_state.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/time/clock.h"

namespace berth {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

PodPtr MakePod(const std::string& id) { return std::make_shared<PodRecord>(PodRecord{.id = id}); }
ContainerPtr MakeContainer(const std::string& id) {
  return std::make_shared<ContainerRecord>(ContainerRecord{.id = id});
}

bool HasExited(const ContainerRecord& container) {
  return container.status.state == ContainerState::kExited;
}

TEST(NodeState, FindsByFullIdAndByUnambiguousPrefix) {
  NodeState state;
  state.PutPod(MakePod("abc1"));
  state.PutPod(MakePod("abd2"));
  state.PutContainer(MakeContainer("abc9"));
  EXPECT_EQ((*state.FindPod("abc1"))->id, "abc1");
  EXPECT_EQ((*state.FindPod("abd"))->id, "abd2");
  EXPECT_EQ((*state.FindContainer("a"))->id, "abc9") << "pods do not count among containers";
}

TEST(NodeState, AnAmbiguousPrefixNamesTheCandidates) {
  NodeState state;
  for (const char* id : {"ab1", "ab2", "ac"}) state.PutPod(MakePod(id));
  const absl::Status status = state.FindPod("ab").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message(), "pod sandbox id \"ab\" is ambiguous: ab1, ab2");
}

TEST(NodeState, NamesOnlyAFewOfManyCandidates) {
  NodeState state;
  for (int i = 0; i < 100; ++i) state.PutContainer(MakeContainer("a" + std::to_string(i + 100)));
  EXPECT_LT(state.FindContainer("a").status().message().size(), 100u);
}

TEST(NodeState, WhatDoesNotExistIsNotFound) {
  NodeState state;
  state.PutPod(MakePod("abc"));
  for (const char* id : {"", "abcd", "b", "ABC"}) {
    EXPECT_EQ(state.FindPod(id).status().code(), absl::StatusCode::kNotFound) << id;
  }
  EXPECT_EQ(state.FindContainer("abc").status().message(), "container \"abc\" does not exist");
}

TEST(NodeState, AnIdThatBeginsAnotherIsFoundItself) {
  NodeState state;
  state.PutPod(MakePod("abc"));
  state.PutPod(MakePod("abcd"));
  ASSERT_TRUE(state.FindPod("abc").ok());
  EXPECT_EQ((*state.FindPod("abc"))->id, "abc");
}

TEST(NodeState, ASnapshotNeverChanges) {
  NodeState state;
  state.PutPod(MakePod("a"));
  state.PutContainer(MakeContainer("c"));
  const std::shared_ptr<const NodeSnapshot> before = state.Snapshot();
  state.UpdatePod("a", [](PodStatus& status) { status.state = PodState::kReady; });
  state.RemoveContainer("c");
  state.PutPod(MakePod("b"));
  EXPECT_EQ(before->pods.size(), 1u);
  EXPECT_EQ(before->pods.at("a")->status.state, PodState::kCreating);
  EXPECT_EQ(before->containers.size(), 1u);
  EXPECT_EQ(state.Snapshot()->pods.at("a")->status.state, PodState::kReady);
  EXPECT_EQ(state.Snapshot()->containers.size(), 0u);
}

TEST(NodeState, AnUpdateReturnsTheNewRecordAndNullForWhatIsGone) {
  NodeState state;
  state.PutContainer(MakeContainer("c"));
  const ContainerPtr updated =
      state.UpdateContainer("c", [](ContainerRecord& record) { record.status.pid = 5; });
  ASSERT_NE(updated, nullptr);
  EXPECT_EQ(updated->status.pid, 5);
  EXPECT_EQ(state.Snapshot()->containers.at("c"), updated);
  EXPECT_EQ(state.UpdateContainer("x", [](ContainerRecord&) { ADD_FAILURE(); }), nullptr);
  EXPECT_EQ(state.UpdatePod("x", [](PodStatus&) { ADD_FAILURE(); }), nullptr);
}

TEST(NodeState, AwaitReturnsAtOnceForWhatIsDoneOrGone) {
  NodeState state;
  state.PutContainer(MakeContainer("c"));
  EXPECT_TRUE(state.AwaitContainer("gone", absl::InfiniteFuture(), HasExited));
  state.UpdateContainer(
      "c", [](ContainerRecord& record) { record.status.state = ContainerState::kExited; });
  EXPECT_TRUE(state.AwaitContainer("c", absl::InfiniteFuture(), HasExited));
}

TEST(NodeState, AwaitIsFalseAtItsDeadline) {
  NodeState state;
  state.PutContainer(MakeContainer("c"));
  EXPECT_FALSE(state.AwaitContainer("c", absl::Now(), HasExited));
}

TEST(NodeState, AwaitWakesByTheChangeAndByTheRemoval) {
  for (const bool remove : {false, true}) {
    NodeState state;
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
  NodeState state;
  state.PutContainer(MakeContainer("c"));
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 500; ++i)
        state.UpdateContainer("c", [](ContainerRecord& record) { ++record.status.exit_code; });
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(state.Snapshot()->containers.at("c")->status.exit_code, 2000);
}

}  // namespace
}  // namespace berth
