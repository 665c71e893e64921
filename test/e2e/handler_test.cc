// Runtime handlers: which the node tells of, which a pod may name, and what one leaves behind.
#include <gmock/gmock.h>
#include <unistd.h>

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "src/base/status_macros.h"
#include "test/e2e/own_node.h"
#include "test/e2e/probed.h"
#include "test/e2e/volume.h"

namespace berth::e2e {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kRunc[] = "/usr/sbin/runc";

class HandlerTest : public ProbedTest {
 protected:
  static absl::StatusOr<std::vector<std::string>> Listed(Client& client) {
    ASSIGN_OR_RETURN(const cri::StatusResponse status,
                     client.Call(&Runtime::Status, cri::StatusRequest()));
    std::vector<std::string> names;
    for (const cri::RuntimeHandler& handler : status.runtime_handlers())
      names.push_back(handler.name());
    return names;
  }
};

TEST_F(HandlerTest, OneWithoutItsProgramIsNeitherListedNorTaken) {
  ASSERT_OK_AND_ASSIGN(OwnNode own, OwnNode::Start("handler", R"([handlers.gone]
path = "/no/such/runtime"
)"));
  EXPECT_THAT(own.daemon().Log(), HasSubstr("execute /no/such/runtime: No such file"));
  ASSERT_OK_AND_ASSIGN(const std::vector<std::string> listed, Listed(own.client()));
  EXPECT_THAT(listed, AllOf(Contains(""), Not(Contains("gone"))));
  cri::RunPodSandboxRequest request;
  *request.mutable_config() = MakePodConfig(Name());
  request.set_runtime_handler("gone");
  const absl::Status refused = own.client().Call(&Runtime::RunPodSandbox, request).status();
  EXPECT_CODE(refused, kInvalidArgument, kNotFound);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("\"gone\" is not one of this node"));
}

TEST_F(HandlerTest, KeepsNothingOfAContainerAfterARestartAndARemoval) {
  if (access(kRunc, X_OK) != 0) GTEST_SKIP() << kRunc << " is not installed";
  ASSERT_OK_AND_ASSIGN(OwnNode own, OwnNode::Start("handler", R"([handlers.other]
path = "/usr/sbin/runc"
)"));
  ASSERT_OK_AND_ASSIGN(const std::vector<std::string> listed, Listed(own.client()));
  EXPECT_THAT(listed, AllOf(Contains(""), Contains("other")));
  cri::RunPodSandboxRequest request;
  *request.mutable_config() = MakePodConfig(Name());
  request.set_runtime_handler("other");
  ASSERT_OK_AND_ASSIGN(const auto pod, own.client().Call(&Runtime::RunPodSandbox, request));
  cri::CreateContainerRequest create;
  create.set_pod_sandbox_id(pod.pod_sandbox_id());
  *create.mutable_sandbox_config() = request.config();
  *create.mutable_config() = MakeProbe("c", {"sleep"});
  ASSERT_OK_AND_ASSIGN(const auto made, own.client().Call(&Runtime::CreateContainer, create));
  ASSERT_OK(own.client().Start(made.container_id()));
  const std::string known = absl::StrCat(own.daemon().options().dir, "/state/handlers/other");
  EXPECT_TRUE(std::filesystem::exists(known + "/" + made.container_id())) << known;

  ASSERT_OK(own.daemon().Kill());
  ASSERT_OK(own.daemon().StartAgain());
  Client again(own.daemon().socket());
  ASSERT_OK_AND_ASSIGN(const auto status, again.ContainerStatus(made.container_id()));
  EXPECT_EQ(status.state(), cri::CONTAINER_RUNNING);
  ASSERT_OK(again.Stop(made.container_id(), 0));
  ASSERT_OK(again.Remove(made.container_id()));
  EXPECT_TRUE(std::filesystem::is_empty(known));
  ASSERT_OK(again.StopPod(pod.pod_sandbox_id()));
  ASSERT_OK(again.RemovePod(pod.pod_sandbox_id()));
}

}  // namespace
}  // namespace berth::e2e
