// OCI hooks from the configured directories: which run, in which order, and what they get.
#include <gmock/gmock.h>

#include <functional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "src/base/status_macros.h"
#include "test/e2e/own_node.h"
#include "test/e2e/probed.h"
#include "test/e2e/text_file.h"
#include "test/e2e/volume.h"

namespace berth::e2e {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class HooksTest : public ProbedTest {
 protected:
  void SetUp() override {
    ProbedTest::SetUp();
    if (HasFatalFailure()) return;
    dir_.emplace(Name("-hooks"));
    dir_->MakeDir("hooks.d");
    // hook.sh NAME: appends NAME to "order", keeps stdin, environment and working directory.
    dir_->Write("hook.sh",
                absl::StrCat("#!/bin/sh\necho \"$1\" >>", *dir_ / "order", "\ncat >",
                             *dir_ / "state-\"$1\"", "\ncat /proc/$$/environ >",
                             *dir_ / "environ-\"$1\"", "\npwd >", *dir_ / "cwd-\"$1\"", "\n"),
                0755);
    dir_->Write("fail.sh", "#!/bin/sh\ncat >/dev/null\necho this hook fails >&2\nexit 3\n", 0755);
  }
  void TearDown() override {
    own_.reset();
    dir_.reset();
    ProbedTest::TearDown();
  }
  void WriteHook(const std::string& file, const std::string& name,
                 const std::vector<std::string>& stages, const Json& when,
                 const std::string& script = "hook.sh") {
    dir_->Write(
        "hooks.d/" + file,
        Json(
            {{"version", "1.0.0"},
             {"hook",
              {{"path", *dir_ / script}, {"args", {script, name}}, {"env", {"HOOK_NAME=" + name}}}},
             {"when", when},
             {"stages", stages}})
            .dump());
  }
  // A container that runs to its end on a daemon of the test's own, and is removed.
  absl::Status RunOne(const cri::ContainerConfig& config,
                      const std::function<absl::Status()>& before_removal = absl::OkStatus) {
    auto own =
        OwnNode::Start("hooks", absl::StrCat("[hooks]\ndirs = \"", *dir_ / "hooks.d", "\"\n"));
    if (!own.ok()) return own.status();
    own_.emplace(*std::move(own));
    auto pod = Pod::Run(own_->client(), MakePodConfig(Name()));
    if (!pod.ok()) return pod.status();
    const auto finished = pod->RunToEnd(config);
    if (!finished.ok()) return finished.status();
    RETURN_IF_ERROR(before_removal());
    return own_->client().Remove(finished->id);
  }
  std::vector<std::string> Order() {
    return absl::StrSplit(dir_->Read("order"), '\n', absl::SkipEmpty());
  }
  std::optional<HostDir> dir_;
  std::optional<OwnNode> own_;
};

const Json kAlways = {{"always", true}};

TEST_F(HooksTest, StagesRunInTheirOrderAndFilesByName) {
  WriteHook("20-b.json", "create-b", {"createRuntime"}, kAlways);
  WriteHook("10-a.json", "create-a", {"createRuntime"}, kAlways);
  WriteHook("30.json", "prestart", {"prestart"}, kAlways);
  WriteHook("40.json", "inside", {"createContainer"}, kAlways);
  WriteHook("50.json", "poststart", {"poststart"}, kAlways);
  WriteHook("60.json", "poststop", {"poststop"}, kAlways);
  ASSERT_OK(RunOne(MakeProbe("c", {"exit", "0"})));
  EXPECT_THAT(Order(),
              ElementsAre("prestart", "create-a", "create-b", "inside", "poststart", "poststop"));
}

TEST_F(HooksTest, GetTheStateAndNothingElse) {
  WriteHook("10.json", "one", {"createRuntime"}, kAlways);
  cri::ContainerConfig config = MakeProbe("c", {"exit", "0"});
  (*config.mutable_annotations())["for"] = "the hook";
  ASSERT_OK(RunOne(config));
  const Json state = Json::parse(dir_->Read("state-one"), nullptr, false);
  ASSERT_TRUE(state.is_object()) << dir_->Read("state-one");
  EXPECT_TRUE(state["ociVersion"].is_string());
  EXPECT_EQ(state["id"].get<std::string>().size(), 64u);
  EXPECT_EQ(state["status"], "creating");
  EXPECT_GT(state.value("pid", 0), 0);
  EXPECT_TRUE(state["bundle"].is_string());
  EXPECT_EQ(state["annotations"]["for"], "the hook");
  const std::vector<std::string> environment =
      absl::StrSplit(dir_->Read("environ-one"), '\0', absl::SkipEmpty());
  EXPECT_THAT(environment,
              ElementsAre("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                          "HOOK_NAME=one"));
  EXPECT_EQ(dir_->Read("cwd-one"), "/\n");
}

TEST_F(HooksTest, ConditionsChoose) {
  WriteHook("10.json", "annotation", {"createRuntime"},
            {{"annotations", {{"^want-.*$", "^yes$"}}}});
  WriteHook("20.json", "other", {"createRuntime"}, {{"annotations", {{"^other$", ".*"}}}});
  WriteHook("30.json", "command", {"createRuntime"}, {{"commands", {"^/probe$"}}});
  WriteHook("40.json", "other-command", {"createRuntime"}, {{"commands", {"^/bin/sh$"}}});
  WriteHook("50.json", "mounts", {"createRuntime"}, {{"hasBindMounts", true}});
  cri::ContainerConfig config = MakeProbe("c", {"exit", "0"});
  (*config.mutable_annotations())["want-hook"] = "yes";
  ASSERT_OK(RunOne(config));
  EXPECT_THAT(Order(), ElementsAre("annotation", "command"));
}

TEST_F(HooksTest, FailureOfACreateHookStopsTheStart) {
  WriteHook("10.json", "failing", {"createRuntime"}, kAlways, "fail.sh");
  const absl::Status status = RunOne(MakeProbe("c", {"exit", "0"}));
  EXPECT_FALSE(status.ok());
  EXPECT_THAT(std::string(status.message()), HasSubstr("fail.sh"));
}

TEST_F(HooksTest, FailureOfAPoststopHookDoesNotStopTheRemoval) {
  WriteHook("10.json", "failing", {"poststop"}, kAlways, "fail.sh");
  WriteHook("20.json", "after", {"poststop"}, kAlways);
  EXPECT_OK(RunOne(MakeProbe("c", {"exit", "0"})));
  EXPECT_THAT(Order(), ElementsAre("after"));
}

TEST_F(HooksTest, PoststopHooksRunThoughTheDaemonWasKilledMeanwhile) {
  WriteHook("10.json", "after", {"poststop"}, kAlways);
  EXPECT_OK(RunOne(MakeProbe("c", {"exit", "0"}), [this]() -> absl::Status {
    RETURN_IF_ERROR(own_->daemon().Kill());
    RETURN_IF_ERROR(own_->daemon().StartAgain());
    own_->Reconnect();
    return absl::OkStatus();
  }));
  EXPECT_THAT(Order(), ElementsAre("after"));
}

TEST_F(HooksTest, FailureOfAPoststartHookDoesNotStopTheContainer) {
  WriteHook("10.json", "failing", {"poststart"}, kAlways, "fail.sh");
  WriteHook("20.json", "after", {"poststart"}, kAlways);
  EXPECT_OK(RunOne(MakeProbe("c", {"exit", "0"})));
  EXPECT_THAT(Order(), ElementsAre("after"));
  EXPECT_THAT(own_->daemon().Log(), HasSubstr("fail.sh: exit status 3: this hook fails"));
}

// What a hook mounts is neither the node's nor the daemon's.
TEST_F(HooksTest, MountsOfAHookStayItsOwn) {
  dir_->MakeDir("target");
  dir_->Write("mount.sh",
              absl::StrCat("#!/bin/sh\ncat >/dev/null\nmount -t tmpfs hooked ", *dir_ / "target",
                           " && echo mounted >>", *dir_ / "order", "\n"),
              0755);
  WriteHook("10.json", "mounting", {"createRuntime"}, kAlways, "mount.sh");
  ASSERT_OK(RunOne(MakeProbe("c", {"exit", "0"})));
  EXPECT_THAT(Order(), ElementsAre("mounted"));
  for (const std::string& process : {std::string("self"), absl::StrCat(own_->daemon().pid())}) {
    EXPECT_THAT(ContentOf("/proc/" + process + "/mountinfo"), Not(HasSubstr("hooked"))) << process;
  }
}

// The hook reads its stdin to the end: SIGPIPE ends the container of crun 1.8.1 whose hook does
// not.
TEST_F(HooksTest, StartContainerHookRunsInside) {
  dir_->Write("hooks.d/10.json",
              Json({{"version", "1.0.0"},
                    {"hook", {{"path", "/probe"}, {"args", {"probe", "save", "/data/hooked"}}}},
                    {"when", kAlways},
                    {"stages", {"startContainer"}}})
                  .dump());
  cri::ContainerConfig config = MakeProbe("c", {"read", "/data/hooked"});
  auto own = OwnNode::Start("hooks", absl::StrCat("[hooks]\ndirs = \"", *dir_ / "hooks.d", "\"\n"));
  ASSERT_OK(own);
  own_.emplace(*std::move(own));
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(own_->client(), MakePodConfig(Name())));
  ASSERT_OK_AND_ASSIGN(const FinishedContainer finished, pod.RunToEnd(config));
  EXPECT_EQ(finished.status.exit_code(), 0) << "the file is there before the program starts";
  std::string state;
  for (const LogRecord& record : finished.log) state += record.content;
  EXPECT_THAT(state, HasSubstr("\"ociVersion\""));
}

TEST_F(HooksTest, WithoutConfigurationNoneRun) {
  WriteHook("10.json", "one", {"createRuntime"}, kAlways);
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), MakePodConfig(Name())));
  ASSERT_OK(pod.RunToEnd(MakeProbe("c", {"exit", "0"})));
  EXPECT_THAT(Order(), IsEmpty());
}

}  // namespace
}  // namespace berth::e2e
