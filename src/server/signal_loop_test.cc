#include "src/server/signal_loop.h"

#include <gtest/gtest.h>
#include <pthread.h>

#include "src/server/fake_notify_socket.h"

namespace berth {
namespace {

// Signals that are pending for this thread are taken in the order of their numbers.
class SignalLoopTest : public testing::Test {
 protected:
  SignalLoopTest() {
    sigemptyset(&loop_.signals);
    for (const int signal : {SIGHUP, SIGTERM}) sigaddset(&loop_.signals, signal);
    pthread_sigmask(SIG_BLOCK, &loop_.signals, &before_);
    loop_.reload = [this] { ++reloads_; };
    loop_.check = [](absl::Duration) { return absl::OkStatus(); };
    loop_.on_failed_check = [this](const absl::Status& status) { failures_.push_back(status); };
  }
  ~SignalLoopTest() override { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

  FakeNotifySocket manager_;
  SignalLoop loop_;
  sigset_t before_;
  int reloads_ = 0;
  std::vector<absl::Status> failures_;
};

TEST_F(SignalLoopTest, ReloadsAtSighupAndEndsAtSigterm) {
  pthread_kill(pthread_self(), SIGHUP);
  pthread_kill(pthread_self(), SIGTERM);
  EXPECT_EQ(loop_.Run(), SIGTERM);
  EXPECT_EQ(reloads_, 1);
  EXPECT_EQ(manager_.Received(), std::vector<std::string>());
}

TEST_F(SignalLoopTest, TellsTheWatchdogOnlyWhileClientsAreServed) {
  int checks = 0;
  loop_.watchdog_patience = absl::Milliseconds(3);
  loop_.check = [&](absl::Duration) {
    if (++checks == 4) pthread_kill(pthread_self(), SIGTERM);
    return checks == 2 ? absl::DeadlineExceededError("slow") : absl::OkStatus();
  };
  EXPECT_EQ(loop_.Run(), SIGTERM);
  EXPECT_EQ(manager_.Received(), std::vector<std::string>(3, "WATCHDOG=1"));
  ASSERT_EQ(failures_.size(), 1u);
  EXPECT_EQ(failures_[0].message(), "slow");
}

TEST_F(SignalLoopTest, RestsOnceAfterWorkThatHasEnded) {
  const std::vector<uint64_t> done = {0, 0, 3, 4, 4, 4, 9, 9, 9};
  size_t looks = 0;
  std::vector<size_t> rests;
  loop_.look_interval = absl::Milliseconds(1);
  loop_.work_done = [&] {
    if (looks + 1 == done.size()) pthread_kill(pthread_self(), SIGTERM);
    return done[looks++];
  };
  loop_.on_rest = [&] { rests.push_back(looks); };
  EXPECT_EQ(loop_.Run(), SIGTERM);
  EXPECT_EQ(rests, (std::vector<size_t>{5, 8}));
}

}  // namespace
}  // namespace berth
