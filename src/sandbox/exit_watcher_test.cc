#include "src/sandbox/exit_watcher.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/synchronization/mutex.h"

namespace berth {
namespace {

// The watcher with the pods whose watches it said to be lost, in that order.
class ExitWatcherTest : public testing::Test {
 protected:
  void SetUp() override {
    auto watcher = ExitWatcher::Start({.container_event = [](const auto&, const auto&) {},
                                       .watch_lost =
                                           [this](const std::string& pod) {
                                             absl::MutexLock lock(&mu_);
                                             lost_.push_back(pod);
                                           }});
    ASSERT_TRUE(watcher.ok()) << watcher.status();
    watcher_ = *std::move(watcher);
  }
  // A connection that is watched; the monitor's end of it.
  UniqueFd Watch(const std::string& pod) {
    int ends[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    EXPECT_TRUE(watcher_->Add(pod, UniqueFd(ends[0])).ok());
    return UniqueFd(ends[1]);
  }
  // Those until `last` is lost.
  std::vector<std::string> LostUntil(const std::string& last) {
    const auto there = [&] { return !lost_.empty() && lost_.back() == last; };
    absl::MutexLock lock(&mu_, absl::Condition(&there));
    return lost_;
  }

  absl::Mutex mu_;
  std::vector<std::string> lost_;
  std::unique_ptr<ExitWatcher> watcher_;
};

TEST_F(ExitWatcherTest, TellsOnceThatAWatchIsLost) {
  UniqueFd monitor = Watch("a"), other = Watch("b");
  monitor.reset();
  EXPECT_EQ(LostUntil("a"), std::vector<std::string>{"a"});
  EXPECT_FALSE(watcher_->Remove("a").valid());
  other.reset();
  EXPECT_EQ(LostUntil("b"), (std::vector<std::string>{"a", "b"}));
}

TEST_F(ExitWatcherTest, TellsNothingOfAPodThatIsRemoved) {
  UniqueFd monitor = Watch("a"), other = Watch("b");
  EXPECT_TRUE(watcher_->Remove("a").valid());
  monitor.reset();
  other.reset();
  EXPECT_EQ(LostUntil("b"), std::vector<std::string>{"b"});
}

TEST_F(ExitWatcherTest, WatchesTheLastConnectionOfAPodAlone) {
  UniqueFd first = Watch("a"), second = Watch("a"), other = Watch("b");
  char byte;
  EXPECT_EQ(::recv(first.get(), &byte, 1, MSG_DONTWAIT), 0) << "it is open";
  first.reset();
  EXPECT_TRUE(watcher_->Remove("a").valid());
  second.reset();
  other.reset();
  EXPECT_EQ(LostUntil("b"), std::vector<std::string>{"b"});
}

}  // namespace
}  // namespace berth
