#include <iostream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "test/e2e/e2e_test.h"

namespace berth::e2e {
namespace {

constexpr absl::Duration kLeakPatience = absl::Seconds(10);

// Ends the shared daemon after the last test; it must end cleanly.
class Ending : public testing::Environment {
 public:
  void TearDown() override {
    const absl::Status status = Node::StopShared();
    EXPECT_TRUE(status.ok()) << status;
  }
};
[[maybe_unused]] testing::Environment* const kEnding =
    testing::AddGlobalTestEnvironment(new Ending);

}  // namespace

void E2eTest::SetUp() {
  absl::StatusOr<Node*> node = Node::Shared();
  ASSERT_TRUE(node.ok()) << node.status();
  node_ = *node;
  log_start_ = node_->daemon().Log().size();
  daemon_pid_ = node_->daemon().pid();
  absl::StatusOr<Snapshot> before = TakeSnapshot(node_->oracle_scope());
  ASSERT_TRUE(before.ok()) << before.status();
  before_ = *std::move(before);
}

void E2eTest::TearDown() {
  if (node_ == nullptr) return;
  RemoveMadeCgroups();
  if (node_->daemon().pid() != daemon_pid_) {  // it has restarted
    const absl::Status settled = node_->Settle();
    EXPECT_TRUE(settled.ok()) << settled;
  }
  const auto left = WaitForSame(node_->oracle_scope(), before_, kLeakPatience);
  ASSERT_TRUE(left.ok()) << left.status();
  EXPECT_TRUE(left->empty()) << "left behind:\n  " << absl::StrJoin(*left, "\n  ");
  EXPECT_EQ(node_->daemon().SanitizerReport(log_start_), "");
  if (const auto pods = client().ListPods(); pods.ok()) {  // so that one failure does not spread
    for (const auto& pod : *pods) client().RemovePod(pod.id()).IgnoreError();
  }
  if (HasFailure())
    std::cout << "the daemon's log:\n" << node_->daemon().Log().substr(log_start_) << std::endl;
}

std::string E2eTest::Name(const std::string& suffix) const {
  const testing::TestInfo& info = *testing::UnitTest::GetInstance()->current_test_info();
  std::string name = absl::StrReplaceAll(
      absl::StrCat(info.test_suite_name(), "-", info.name(), suffix), {{"/", "-"}});
  for (char& c : name) c = static_cast<char>(tolower(c));
  return name;
}

testing::AssertionResult IsOk(const char* expression, const absl::Status& status) {
  if (status.ok()) return testing::AssertionSuccess();
  return testing::AssertionFailure() << expression << ": " << status;
}

testing::AssertionResult HasCode(const absl::Status& status,
                                 const std::vector<absl::StatusCode>& codes) {
  std::string wanted;
  bool found = false;
  for (const absl::StatusCode code : codes) {
    found |= status.code() == code;
    absl::StrAppend(&wanted, absl::StatusCodeToString(code), " ");
  }
  if (!found) return testing::AssertionFailure() << "want " << wanted << "but got " << status;
  if (status.ok()) return testing::AssertionSuccess();
  if (status.message().empty() || absl::StrContains(status.message(), "\n")) {
    return testing::AssertionFailure() << "not one clear line: " << status;
  }
  return testing::AssertionSuccess();
}

}  // namespace berth::e2e
