// Ephemeral containers: pid mode TARGET.
#include <gmock/gmock.h>

#include "absl/strings/str_cat.h"
#include "test/e2e/probed.h"
#include "test/e2e/with_pod.h"

namespace berth::e2e {
namespace {

using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

class PidTargetTest : public WithPod<ProbedTest> {
 protected:
  void SetUp() override {
    WithPod<ProbedTest>::SetUp();
    if (HasFatalFailure()) return;
    ASSERT_OK_AND_ASSIGN(target_, pod().RunContainer(MakeKubeletProbe("app", {"sleep"})));
  }
  cri::ContainerConfig Debugger(const std::vector<std::string>& arguments) {
    cri::ContainerConfig config = MakeProbe("debugger", arguments);
    NamespaceOptions(config)->set_pid(cri::TARGET);
    NamespaceOptions(config)->set_target_id(target_);
    return config;
  }
  std::string target_;
};

TEST_F(PidTargetTest, JoinsTheNamespaceOfTheTarget) {
  ASSERT_OK_AND_ASSIGN(const Json report, pod().RunForJson(Debugger({"report"})));
  EXPECT_NE(report["pid"], 1);
  EXPECT_THAT(report["init_cmdline"].get<std::string>(), HasSubstr("sleep"));
  ASSERT_OK_AND_ASSIGN(const Json app, pod().ExecForJson(target_, {"report"}));
  EXPECT_EQ(report["namespaces"]["pid"], app["namespaces"]["pid"]);
  EXPECT_NE(report["namespaces"]["mnt"], app["namespaces"]["mnt"]);
}

TEST_F(PidTargetTest, DiesWithItsTarget) {
  ASSERT_OK_AND_ASSIGN(const std::string id, pod().RunContainer(Debugger({"ignore-term"})));
  ASSERT_OK(client().Stop(target_, 0));
  ASSERT_OK_AND_ASSIGN(const auto status, client().WaitExit(id));
  EXPECT_EQ(status.exit_code(), 137);
}

TEST_F(PidTargetTest, ItsOwnEndLeavesTheTargetAlone) {
  ASSERT_OK(pod().RunToEnd(Debugger({"exit", "0"})));
  ASSERT_OK_AND_ASSIGN(const auto status, client().ContainerStatus(target_));
  EXPECT_EQ(status.state(), cri::CONTAINER_RUNNING);
}

TEST_F(PidTargetTest, ExecInItSeesTheTarget) {
  ASSERT_OK_AND_ASSIGN(const std::string id, pod().RunContainer(Debugger({"sleep"})));
  ASSERT_OK_AND_ASSIGN(const Json exec, pod().ExecForJson(id, {"report"}));
  std::vector<std::string> programs;
  for (const auto& [pid, command] : exec["processes"].items())
    programs.push_back(command.get<std::string>());
  const auto Probe = [](const std::string& what) {
    return absl::StrCat("/probe", std::string(1, '\0'), what, std::string(1, '\0'));
  };
  EXPECT_THAT(programs, UnorderedElementsAre(Probe("sleep"), Probe("sleep"), Probe("report")));
}

TEST_F(PidTargetTest, TargetMustRunInTheSamePod) {
  cri::ContainerConfig config = Debugger({"report"});
  NamespaceOptions(config)->set_target_id("0123456789abcdef");
  EXPECT_CODE(pod().Create(config), kNotFound, kInvalidArgument, kFailedPrecondition);
  NamespaceOptions(config)->clear_target_id();
  EXPECT_CODE(pod().Create(config), kInvalidArgument);
  cri::PodSandboxConfig other_config = MakeKubeletPodConfig(Name("-other"));
  ASSERT_OK_AND_ASSIGN(Pod other, Pod::Run(client(), other_config));
  EXPECT_CODE(other.Create(Debugger({"report"})), kNotFound, kInvalidArgument, kFailedPrecondition);
}

TEST_F(PidTargetTest, ExitedTargetIsRefused) {
  ASSERT_OK(client().Stop(target_, 0));
  EXPECT_CODE(pod().Create(Debugger({"report"})), kFailedPrecondition, kInvalidArgument);
}

TEST_F(PidTargetTest, TargetThatEndsBeforeTheStartIsAStartError) {
  ASSERT_OK_AND_ASSIGN(const std::string id, pod().Create(Debugger({"report"})));
  ASSERT_OK(client().Stop(target_, 0));
  EXPECT_FALSE(client().Start(id).ok());
}

TEST_F(PidTargetTest, TargetIdIsForTargetModeOnly) {
  cri::ContainerConfig config = MakeProbe("d", {"report"});
  NamespaceOptions(config)->set_pid(cri::CONTAINER);
  NamespaceOptions(config)->set_target_id(target_);
  EXPECT_CODE(pod().Create(config), kInvalidArgument);
}

}  // namespace
}  // namespace berth::e2e
