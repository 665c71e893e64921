// CreateContainer, StartContainer, RemoveContainer, ContainerStatus, ListContainers as their
// callers see them.
#include <gmock/gmock.h>

#include <filesystem>
#include <map>

#include "absl/strings/str_cat.h"
#include "test/e2e/e2e_test.h"
#include "test/e2e/eventually.h"
#include "test/e2e/handlers.h"
#include "test/e2e/log_file.h"
#include "test/e2e/subprocess.h"
#include "test/e2e/with_pod.h"

namespace berth::e2e {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::MatchesRegex;
using ::testing::UnorderedElementsAre;

constexpr char kUnknownId[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

class ContainerTest : public WithPod<E2eTest> {
 protected:
  cri::PodSandboxConfig PodConfig() override { return MakePodConfig(Name()); }
  std::vector<std::string> Ids(const cri::ContainerFilter& filter = {}) {
    const auto containers = client().ListContainers(filter);
    EXPECT_OK(containers);
    std::vector<std::string> ids;
    for (const auto& container : *containers) ids.push_back(container.id());
    return ids;
  }
};

TEST_F(ContainerTest, IsCreatedThenRunningThenExited) {
  ASSERT_OK_AND_ASSIGN(const std::string id, pod().Create(MakeProbe("c", {"term-exit", "0"})));
  EXPECT_THAT(id, MatchesRegex("[0-9a-f]{64}"));
  ASSERT_OK_AND_ASSIGN(auto status, client().ContainerStatus(id));
  EXPECT_EQ(status.state(), cri::CONTAINER_CREATED);
  EXPECT_GT(status.created_at(), 0);
  EXPECT_EQ(status.started_at(), 0);
  EXPECT_EQ(status.finished_at(), 0);
  ASSERT_OK(client().Start(id));
  ASSERT_OK_AND_ASSIGN(status, client().ContainerStatus(id));
  EXPECT_EQ(status.state(), cri::CONTAINER_RUNNING);
  EXPECT_GE(status.started_at(), status.created_at());
  EXPECT_EQ(status.finished_at(), 0);
  ASSERT_TRUE(Eventually(absl::Seconds(30), [&] {  // its signal handler is there
    const auto log = ReadLog(pod().LogPath("c"));
    return log.ok() && Joined(*log, "stdout") == "ready\n";
  }));
  ASSERT_OK(client().Stop(id, 30));
  ASSERT_OK_AND_ASSIGN(status, client().ContainerStatus(id));
  EXPECT_EQ(status.state(), cri::CONTAINER_EXITED);
  EXPECT_GE(status.finished_at(), status.started_at());
  EXPECT_EQ(status.exit_code(), 0);
}

TEST_F(ContainerTest, StatusTellsAllThatAKubeletNeeds) {
  const cri::ContainerConfig config = MakeKubeletProbe("c", {"sleep"});
  ASSERT_OK_AND_ASSIGN(const std::string id, pod().RunContainer(config));
  ASSERT_OK_AND_ASSIGN(const auto status, client().ContainerStatus(id));
  EXPECT_EQ(status.id(), id);
  EXPECT_EQ(status.metadata().SerializeAsString(), config.metadata().SerializeAsString());
  EXPECT_EQ((std::map<std::string, std::string>(status.labels().begin(), status.labels().end())),
            (std::map<std::string, std::string>(config.labels().begin(), config.labels().end())));
  EXPECT_EQ((std::map<std::string, std::string>(status.annotations().begin(),
                                                status.annotations().end())),
            (std::map<std::string, std::string>(config.annotations().begin(),
                                                config.annotations().end())));
  EXPECT_FALSE(status.image().image().empty());
  EXPECT_FALSE(status.image_ref().empty());
  EXPECT_EQ(status.image_id(), node().probe_id());
  EXPECT_EQ(status.log_path(), pod().LogPath("c"));
  const auto& resources = status.resources().linux();
  EXPECT_EQ(resources.cpu_shares(), 256);
  EXPECT_EQ(resources.cpu_quota(), 50000);
  EXPECT_EQ(resources.cpu_period(), 100000);
  EXPECT_EQ(resources.memory_limit_in_bytes(), 64 << 20);
  EXPECT_EQ(status.user().linux().uid(), 0);
}

TEST_F(ContainerTest, LogExistsWhenStartReturns) {
  ASSERT_OK(pod().RunContainer(MakeProbe("c", {"sleep"})));
  EXPECT_EQ(access(pod().LogPath("c").c_str(), F_OK), 0);
}

TEST_F(ContainerTest, ListItemsAreComplete) {
  cri::ContainerConfig config = MakeProbe("c", {"sleep"});
  (*config.mutable_labels())["l"] = "v";
  ASSERT_OK_AND_ASSIGN(const std::string id, pod().Create(config));
  ASSERT_OK_AND_ASSIGN(const auto list, client().ListContainers());
  ASSERT_EQ(list.size(), 1u);
  EXPECT_EQ(list[0].id(), id);
  EXPECT_EQ(list[0].pod_sandbox_id(), pod().id());
  EXPECT_EQ(list[0].metadata().name(), "c");
  EXPECT_FALSE(list[0].image().image().empty());
  EXPECT_EQ(list[0].image_id(), node().probe_id());
  EXPECT_EQ(list[0].labels().at("l"), "v");
  EXPECT_EQ(list[0].state(), cri::CONTAINER_CREATED);
  EXPECT_GT(list[0].created_at(), 0);
}

TEST_F(ContainerTest, FiltersAreAnded) {
  cri::ContainerConfig labelled = MakeProbe("a", {"sleep"});
  (*labelled.mutable_labels())["app"] = "one";
  ASSERT_OK_AND_ASSIGN(const std::string a, pod().RunContainer(labelled));
  ASSERT_OK_AND_ASSIGN(const std::string b, pod().Create(MakeProbe("b", {"sleep"})));
  ASSERT_OK_AND_ASSIGN(const FinishedContainer c, pod().RunToEnd(MakeProbe("c", {"exit", "0"})));
  EXPECT_THAT(Ids(), UnorderedElementsAre(a, b, c.id));
  cri::ContainerFilter filter;
  filter.mutable_state()->set_state(cri::CONTAINER_RUNNING);
  EXPECT_THAT(Ids(filter), ElementsAre(a));
  filter.mutable_state()->set_state(cri::CONTAINER_CREATED);
  EXPECT_THAT(Ids(filter), ElementsAre(b));
  filter.mutable_state()->set_state(cri::CONTAINER_EXITED);
  EXPECT_THAT(Ids(filter), ElementsAre(c.id));
  filter.set_id(a);
  EXPECT_THAT(Ids(filter), IsEmpty());
  filter.Clear();
  filter.set_pod_sandbox_id(pod().id().substr(0, 13));
  EXPECT_EQ(Ids(filter).size(), 3u);
  filter.set_pod_sandbox_id(kUnknownId);
  EXPECT_THAT(Ids(filter), IsEmpty());
  filter.Clear();
  (*filter.mutable_label_selector())["app"] = "one";
  EXPECT_THAT(Ids(filter), ElementsAre(a));
  filter.Clear();
  filter.set_id(b.substr(0, 13));
  EXPECT_THAT(Ids(filter), ElementsAre(b));
}

TEST_F(ContainerTest, ExitReasonsAreTheOnesAKubeletShows) {
  struct {
    std::vector<std::string> arguments;
    int code;
    const char* reason;
  } cases[] = {{{"exit", "0"}, 0, "Completed"},
               {{"exit", "3"}, 3, "Error"},
               {{"exit", "255"}, 255, "Error"},
               {{"die-of", "6"}, 134, "Error"}};
  // In a PID namespace of its own a first process cannot be killed by its own signals: share the
  // pod's.
  int attempt = 0;
  for (const auto& c : cases) {
    cri::ContainerConfig config = MakeProbe("c", c.arguments);
    config.mutable_metadata()->set_attempt(static_cast<uint32_t>(attempt++));
    ASSERT_OK_AND_ASSIGN(const FinishedContainer finished, pod().RunToEnd(config));
    EXPECT_EQ(finished.status.exit_code(), c.code) << c.arguments[0];
    EXPECT_EQ(finished.status.reason(), c.reason) << c.arguments[0];
    EXPECT_GT(finished.status.finished_at(), 0);
  }
}

TEST_F(ContainerTest, I_28_MissingBinaryIsAStartErrorThatIsRecorded) {
  cri::ContainerConfig config = MakeProbe("c", {});
  config.clear_command();
  config.add_command("/no/such/program");
  ASSERT_OK_AND_ASSIGN(const std::string id, pod().Create(config));
  const absl::Status started = client().Start(id);
  EXPECT_CODE(started, kUnknown, kNotFound, kFailedPrecondition, kInvalidArgument);
  EXPECT_THAT(std::string(started.message()), HasSubstr("/no/such/program"));
  ASSERT_OK_AND_ASSIGN(const auto status, client().ContainerStatus(id));
  EXPECT_EQ(status.state(), cri::CONTAINER_EXITED);
  EXPECT_EQ(status.exit_code(), 128);
  EXPECT_EQ(status.reason(), "StartError");
  EXPECT_THAT(status.message(), HasSubstr("/no/such/program"));
  EXPECT_GT(status.finished_at(), 0);
  EXPECT_FALSE(client().Start(id).ok()) << "a container that failed to start does not start again";
}

TEST_F(ContainerTest, ProgramIsLookedUpInPath) {
  cri::ContainerConfig config = MakeProbe("c", {});
  config.clear_command();
  config.add_command("probe");
  config.add_args("exit");
  config.add_args("5");
  ASSERT_OK_AND_ASSIGN(const FinishedContainer finished, pod().RunToEnd(config));
  EXPECT_EQ(finished.status.exit_code(), 5);
}

TEST_F(ContainerTest, FileThatIsNotExecutableIsAStartError) {
  cri::ContainerConfig config = MakeProbe("c", {});
  config.clear_command();
  config.add_command("/etc/passwd");
  ASSERT_OK_AND_ASSIGN(const std::string id, pod().Create(config));
  EXPECT_FALSE(client().Start(id).ok());
  ASSERT_OK_AND_ASSIGN(const auto status, client().ContainerStatus(id));
  EXPECT_EQ(status.reason(), "StartError");
  EXPECT_EQ(status.exit_code(), 128);
}

TEST_F(ContainerTest, RemoveWorksInEveryState) {
  ASSERT_OK_AND_ASSIGN(const std::string created, pod().Create(MakeProbe("a", {"sleep"})));
  ASSERT_OK_AND_ASSIGN(const std::string running,
                       pod().RunContainer(MakeProbe("b", {"ignore-term"})));
  ASSERT_OK_AND_ASSIGN(const FinishedContainer exited,
                       pod().RunToEnd(MakeProbe("c", {"exit", "0"})));
  for (const std::string& id : {created, running, exited.id}) {
    EXPECT_OK(client().Remove(id));
    EXPECT_OK(client().Remove(id));
    EXPECT_CODE(client().ContainerStatus(id), kNotFound);
  }
  EXPECT_THAT(Ids(), IsEmpty());
  EXPECT_EQ(access(pod().LogPath("c").c_str(), F_OK), 0) << "removal keeps the log";
}

TEST_F(ContainerTest, UnknownIdsAreNotFoundOrFine) {
  EXPECT_CODE(client().ContainerStatus(kUnknownId), kNotFound);
  EXPECT_CODE(client().Start(kUnknownId), kNotFound);
  EXPECT_CODE(client().Exec(kUnknownId, {"/probe"}), kNotFound);
  EXPECT_CODE(client().ReopenLog(kUnknownId), kNotFound);
  EXPECT_CODE(client().Create(kUnknownId, MakeProbe("c", {}), pod().config()), kNotFound);
  EXPECT_OK(client().Stop(kUnknownId, 1));
  EXPECT_OK(client().Remove(kUnknownId));
}

TEST_F(ContainerTest, StartsOnlyOnce) {
  ASSERT_OK_AND_ASSIGN(const std::string id, pod().RunContainer(MakeProbe("c", {"sleep"})));
  EXPECT_CODE(client().Start(id), kFailedPrecondition, kUnknown);
}

TEST_F(ContainerTest, UnknownImageIsNotFoundAndNamed) {
  cri::ContainerConfig config = MakeProbe("c", {});
  config.mutable_image()->set_image("127.0.0.1:1/absent:v1");
  const auto id = pod().Create(config);
  EXPECT_CODE(id, kNotFound);
  EXPECT_THAT(std::string(id.status().message()), HasSubstr("absent"));
}

TEST_F(ContainerTest, StoppedPodTakesNoContainers) {
  ASSERT_OK_AND_ASSIGN(const std::string id, pod().Create(MakeProbe("c", {"sleep"})));
  ASSERT_OK(client().StopPod(pod().id()));
  EXPECT_CODE(pod().Create(MakeProbe("d", {"sleep"})), kFailedPrecondition);
  EXPECT_CODE(client().Start(id), kFailedPrecondition);
}

TEST_F(ContainerTest, SameRequestAgainGetsTheSameContainer) {
  ASSERT_OK_AND_ASSIGN(const std::string id, pod().Create(MakeProbe("c", {"sleep"})));
  ASSERT_OK_AND_ASSIGN(const std::string again, pod().Create(MakeProbe("c", {"sleep"})));
  EXPECT_EQ(id, again);
  EXPECT_CODE(pod().Create(MakeProbe("c", {"ignore-term"})), kAlreadyExists);
}

TEST_F(ContainerTest, FailedCreateLeavesTheNameFree) {
  cri::ContainerConfig config = MakeProbe("c", {"exit", "0"});
  Security(config)->set_run_as_username("nobody-has-this-name");
  const auto refused = pod().Create(config);
  EXPECT_FALSE(refused.ok());
  EXPECT_THAT(std::string(refused.status().message()), HasSubstr("nobody-has-this-name"));
  EXPECT_THAT(Ids(), IsEmpty());
  Security(config)->clear_run_as_username();
  EXPECT_OK(pod().RunToEnd(config));
}

TEST_F(ContainerTest, BadConfigsAreRefusedByCreate) {
  cri::ContainerConfig group_alone = MakeProbe("c", {});
  Security(group_alone)->mutable_run_as_group()->set_value(1000);
  EXPECT_CODE(pod().Create(group_alone), kInvalidArgument);
  cri::ContainerConfig escaping = MakeProbe("c", {});
  escaping.set_log_path("../../escape.log");
  EXPECT_CODE(pod().Create(escaping), kInvalidArgument);
  cri::ContainerConfig capability = MakeProbe("c", {});
  Security(capability)->mutable_capabilities()->add_add_capabilities("NO_SUCH_CAPABILITY");
  EXPECT_CODE(pod().Create(capability), kInvalidArgument);
  cri::ContainerConfig nameless = MakeProbe("", {});
  EXPECT_CODE(pod().Create(nameless), kInvalidArgument);
  cri::ContainerConfig privileged = MakeProbe("c", {});
  Security(privileged)->set_privileged(true);
  EXPECT_FALSE(pod().Create(privileged).ok()) << "the pod is not privileged";
  EXPECT_THAT(Ids(), IsEmpty());
}

TEST_F(ContainerTest, VerboseStatusHasPidAndSpec) {
  ASSERT_OK_AND_ASSIGN(const std::string id, pod().RunContainer(MakeProbe("c", {"sleep"})));
  cri::ContainerStatusRequest request;
  request.set_container_id(id);
  ASSERT_OK_AND_ASSIGN(const auto plain, client().Call(&Runtime::ContainerStatus, request));
  EXPECT_TRUE(plain.info().empty());
  request.set_verbose(true);
  ASSERT_OK_AND_ASSIGN(const auto verbose, client().Call(&Runtime::ContainerStatus, request));
  ASSERT_TRUE(verbose.info().contains("info"));
  const Json info = Json::parse(verbose.info().at("info"), nullptr, false);
  ASSERT_TRUE(info.is_object());
  EXPECT_EQ(info.value("sandboxID", ""), pod().id());
  ASSERT_GT(info.value("pid", 0), 0);
  EXPECT_EQ(access(absl::StrCat("/proc/", info.value("pid", 0)).c_str(), F_OK), 0);
}

TEST_F(ContainerTest, PlanIsToldAtTheCommandLine) {
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), MakePodConfig(Name())));
  ASSERT_OK_AND_ASSIGN(const std::string id, pod.RunContainer(MakeProbe("c", {"sleep"})));
  const std::string output = absl::StrCat(NodeDir(), "/plan");
  ASSERT_OK_AND_ASSIGN(
      Subprocess berth,
      Subprocess::Start({.argv = {BERTH_BIN_DIR "/berth", "--socket", node().daemon().socket(),
                                  "inspect", "--plan", id},
                         .output_path = output}));
  EXPECT_EQ(berth.Wait(absl::Minutes(1)), 0);
  const std::string plan = berth.Output();
  std::filesystem::remove(output);
  EXPECT_THAT(plan, HasSubstr("\nmount-overlay "));
  EXPECT_THAT(plan,
              HasSubstr(HandlerUnderTest().empty() ? "\nexec /probe sleep " : " create --bundle "));
}

}  // namespace
}  // namespace berth::e2e
