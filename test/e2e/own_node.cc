#include "test/e2e/own_node.h"

#include <gtest/gtest.h>

#include <iostream>

#include "src/base/status_macros.h"
#include "test/e2e/node.h"

namespace berth::e2e {
namespace {

constexpr int kSecondBridge = 2;

}  // namespace

absl::StatusOr<OwnNode> OwnNode::Start(const std::string& name, const std::string& config) {
  Daemon::Options options = Node::OptionsFor(name, kSecondBridge);
  options.more_config += config;
  return StartWith(options);
}

absl::StatusOr<OwnNode> OwnNode::StartWithSystemd(const std::string& name,
                                                  const std::string& slice) {
  Daemon::Options options = Node::OptionsFor(name, kSecondBridge);
  options.cgroup_driver = "systemd";
  options.cgroup_root = slice;
  return StartWith(options);
}

absl::StatusOr<OwnNode> OwnNode::StartWithFailpoints(const std::string& name) {
  Daemon::Options options = Node::OptionsFor(name, kSecondBridge);
  options.program = BERTH_FAILPOINTS_DIR "/berthd";
  return StartWith(options);
}

absl::StatusOr<OwnNode> OwnNode::StartWith(const Daemon::Options& options) {
  ASSIGN_OR_RETURN(Node* const shared, Node::Shared());
  OwnNode own;
  ASSIGN_OR_RETURN(own.daemon_, Daemon::Start(options));
  own.client_ = std::make_unique<Client>(own.daemon_->socket());
  RETURN_IF_ERROR(own.client_->Pull(shared->probe_image()).status());
  return own;
}

// In place: pods hold on to it.
void OwnNode::Reconnect() { *client_ = Client(daemon_->socket()); }

OwnNode::~OwnNode() {
  if (!daemon_.has_value() || client_ == nullptr) return;
  if (testing::Test::HasFailure())
    std::cout << "the log of the test's own daemon:\n" << daemon_->Log() << std::endl;
  client_.reset();
  if (const absl::Status status = daemon_->Terminate(); !status.ok())
    ADD_FAILURE() << "the test's own daemon: " << status;
  EXPECT_EQ(daemon_->SanitizerReport(), "");
  RemoveTraces(*daemon_);
}

}  // namespace berth::e2e
