// Tests with a daemon of their own that has failpoints, all of them disarmed at their begin and
// end.
#pragma once

#include <optional>

#include "test/e2e/e2e_test.h"
#include "test/e2e/failpoint_files.h"
#include "test/e2e/own_node.h"

namespace berth::e2e {

class FailpointTest : public E2eTest {
 protected:
  void SetUp() override {
    ASSERT_OK(FailpointFiles::Make());
    E2eTest::SetUp();
    if (HasFatalFailure()) return;
    FailpointFiles::Disarm();
    ASSERT_OK_AND_ASSIGN(OwnNode own, OwnNode::StartWithFailpoints(Name()));
    own_.emplace(std::move(own));
  }
  void TearDown() override {
    FailpointFiles::Disarm();
    own_.reset();
    E2eTest::TearDown();
  }

  Client& berth() { return own_->client(); }
  Daemon& daemon() { return own_->daemon(); }
  void StartAgain() {
    ASSERT_OK(daemon().StartAgain());
    own_->Reconnect();
  }

 private:
  std::optional<OwnNode> own_;
};

}  // namespace berth::e2e
