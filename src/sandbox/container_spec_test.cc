#include "src/sandbox/container_spec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"

namespace berth {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Strings = std::vector<std::string>;

ContainerRecord MakeContainer(ContainerConfig config = {}, ContainerImage image = {}) {
  if (image.home.empty()) image.home = "/root";
  if (config.command.empty() && config.args.empty() && image.entrypoint.empty() &&
      image.cmd.empty())
    image.cmd = {"sh"};
  return {.id = "c", .pod_id = "p", .config = std::move(config), .image = std::move(image)};
}
PodRecord MakePod(const std::string& hostname = "") {
  PodRecord pod{.id = "p"};
  pod.config.namespaces.hostname = hostname;
  return pod;
}
absl::StatusOr<ContainerSpec> Build(const ContainerRecord& container) {
  return BuildContainerSpec(container, MakePod());
}

void ExpectRefused(const ContainerRecord& container, const std::string& what) {
  const absl::Status status = Build(container).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << what;
  EXPECT_THAT(std::string(status.message()), HasSubstr(what));
}

// The rules of the CRI for command and args against ENTRYPOINT and CMD.
struct CommandCase {
  const char* name;
  Strings entrypoint, cmd, command, args, expected;
};

class CommandTest : public testing::TestWithParam<CommandCase> {};

TEST_P(CommandTest, CombinesImageAndRequest) {
  const CommandCase& param = GetParam();
  const absl::StatusOr<ContainerSpec> spec =
      Build(MakeContainer({.command = param.command, .args = param.args},
                          {.entrypoint = param.entrypoint, .cmd = param.cmd}));
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_EQ(spec->args, param.expected);
}

INSTANTIATE_TEST_SUITE_P(
    Table, CommandTest,
    testing::Values(CommandCase{"Image", {"e"}, {"c"}, {}, {}, {"e", "c"}},
                    CommandCase{"OnlyCmd", {}, {"c", "d"}, {}, {}, {"c", "d"}},
                    CommandCase{"OnlyEntrypoint", {"e"}, {}, {}, {}, {"e"}},
                    CommandCase{"ArgsReplaceCmd", {"e"}, {"c"}, {}, {"a"}, {"e", "a"}},
                    CommandCase{"ArgsAlone", {}, {"c"}, {}, {"a", "b"}, {"a", "b"}},
                    CommandCase{"CommandReplacesBoth", {"e"}, {"c"}, {"x"}, {}, {"x"}},
                    CommandCase{"CommandAndArgs", {"e"}, {"c"}, {"x"}, {"a"}, {"x", "a"}},
                    CommandCase{"EmptyWordsStay", {"e"}, {}, {}, {""}, {"e", ""}}),
    [](const auto& info) { return info.param.name; });

TEST(BuildContainerSpec, NeedsACommand) {
  ContainerRecord none = MakeContainer({.name = "web"}, {.name = "empty:1"});
  none.image.cmd.clear();
  ExpectRefused(none, "container web: no command given, and image empty:1 has none");
  ExpectRefused(MakeContainer({.command = {""}}), "no command given");
}

TEST(BuildContainerSpec, PutsTheEnvironmentInOrderAndLetsTheLaterValueWin) {
  ContainerRecord container =
      MakeContainer({.envs = {"B=request", "C=1", "C=2", "EMPTY="}},
                    {.env = {"PATH=/img", "A=image", "B=image"}, .home = "/home/u"});
  const absl::StatusOr<ContainerSpec> spec = BuildContainerSpec(container, MakePod("web"));
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_THAT(spec->env, ElementsAre("PATH=/img", "A=image", "B=request", "HOSTNAME=web", "C=2",
                                     "EMPTY=", "HOME=/home/u"));
}

TEST(BuildContainerSpec, HasAPathAndAHomeWithoutAnybodySayingSo) {
  const absl::StatusOr<ContainerSpec> spec = Build(MakeContainer());
  ASSERT_TRUE(spec.ok());
  EXPECT_THAT(spec->env,
              ElementsAre("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                          "HOME=/root"));
}

TEST(BuildContainerSpec, GivesATerminalItsTypeAndKeepsAHomeThatIsSet) {
  const absl::StatusOr<ContainerSpec> spec =
      Build(MakeContainer({.envs = {"HOME=/x"}, .tty = true}));
  ASSERT_TRUE(spec.ok());
  EXPECT_TRUE(spec->terminal);
  EXPECT_EQ(Strings(spec->env.begin() + 1, spec->env.end()), Strings({"TERM=xterm", "HOME=/x"}));
}

TEST(BuildContainerSpec, RefusesMoreVariablesThanTheLimit) {
  ContainerConfig config;
  for (int i = 0; i < 9998; ++i) config.envs.push_back(absl::StrCat("V", i, "=x"));
  EXPECT_TRUE(Build(MakeContainer(config)).ok());  // with PATH and HOME: 10000
  config.envs.push_back("ONE=more");
  ExpectRefused(MakeContainer(config), "envs: 10001 variables");
}

TEST(BuildContainerSpec, WorksOutTheDirectory) {
  EXPECT_EQ(Build(MakeContainer())->cwd, "/");
  EXPECT_EQ(Build(MakeContainer({}, {.working_dir = "/img"}))->cwd, "/img");
  EXPECT_EQ(Build(MakeContainer({.working_dir = "/req"}, {.working_dir = "/img"}))->cwd, "/req");
  ExpectRefused(MakeContainer({.working_dir = "rel"}), "working_dir \"rel\" is not absolute");
  ExpectRefused(MakeContainer({}, {.working_dir = "../up"}),
                "working_dir \"../up\" is not absolute");
}

TEST(BuildContainerSpec, RefusesNulBytesThatACStringWouldHide) {
  const std::string nul("a\0b", 3);
  ExpectRefused(MakeContainer({.args = {"x", nul}}), "has a NUL byte");
  ExpectRefused(MakeContainer({.envs = {"A=" + nul}}), "envs: has a NUL byte");
  ExpectRefused(MakeContainer({}, {.env = {"A=" + nul}}), "envs: has a NUL byte");
  ExpectRefused(MakeContainer({.working_dir = "/" + nul}), "working_dir: has a NUL byte");
  ExpectRefused(MakeContainer({.masked_paths = {"/" + nul}}), "masked_paths: has a NUL byte");
  ExpectRefused(MakeContainer({.readonly_paths = {"/" + nul}}), "readonly_paths: has a NUL byte");
  ExpectRefused(MakeContainer({.mounts = {{"/h", "/" + nul}}}), "mounts: has a NUL byte");
  ExpectRefused(MakeContainer({.mounts = {{"/" + nul, "/v"}}}), "mounts: has a NUL byte");
}

TEST(BuildContainerSpec, RefusesMountsOnTheKernelsFilesHoweverTheyAreWritten) {
  for (const char* path : {"/proc", "/proc/", "//proc", "/./proc", "/proc/sys", "/proc/./self",
                           "/sys", "//sys//fs/", "/", "//", "/."}) {
    ExpectRefused(MakeContainer({.mounts = {{"/h", path}}}), "mounts: nothing may be mounted on ");
  }
  for (const char* path : {"", "rel", "./x", "/a/../proc", "/..", "/a/.."}) {
    EXPECT_EQ(Build(MakeContainer({.mounts = {{"/h", path}}})).status().code(),
              absl::StatusCode::kInvalidArgument)
        << path;
  }
  for (const char* path :
       {"/procs", "/system", "/a/proc", "/dev/shm", "/etc/hosts", "/..a", "/a..b"}) {
    EXPECT_TRUE(Build(MakeContainer({.mounts = {{"/h", path}}})).ok()) << path;
  }
}

TEST(BuildContainerSpec, RefusesTwoMountsOnOnePlace) {
  ExpectRefused(MakeContainer({.mounts = {{"/h", "/v"}, {"/i", "/v"}}}), "two are for /v");
  ExpectRefused(MakeContainer({.mounts = {{"/h", "/v"}, {"/i", "//v/./"}}}), "two are for //v/./");
}

TEST(BuildContainerSpec, NumbersVolumesAsTheyCameAndCleansTheirPaths) {
  const absl::StatusOr<ContainerSpec> spec =
      Build(MakeContainer({.mounts = {{"/h", "/b//c/", true}, {"/i", "/a", false}}}));
  ASSERT_TRUE(spec.ok()) << spec.status();
  ASSERT_EQ(spec->volumes.size(), 2u);
  EXPECT_EQ(spec->volumes[0].target, "/b/c");
  EXPECT_EQ(spec->volumes[0].fd_index, 0);
  EXPECT_TRUE(spec->volumes[0].readonly);
  EXPECT_EQ(spec->volumes[1].fd_index, 1);
  EXPECT_FALSE(spec->volumes[1].readonly);
}

TEST(BuildContainerSpec, IsWhoTheImageAndTheRequestSay) {
  ContainerRecord container = MakeContainer({.add_capabilities = {"NET_ADMIN"},
                                             .drop_capabilities = {"ALL"},
                                             .no_new_privs = true,
                                             .readonly_rootfs = true,
                                             .oom_score_adj = -5},
                                            {.uid = 1000, .gid = 100, .groups = {100, 7}});
  const absl::StatusOr<ContainerSpec> spec = Build(container);
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_EQ(spec->identity.uid, 1000u);
  EXPECT_EQ(spec->identity.gid, 100u);
  EXPECT_THAT(spec->identity.groups, ElementsAre(100, 7));
  EXPECT_EQ(spec->identity.capabilities, uint64_t{1} << 12);
  EXPECT_TRUE(spec->identity.no_new_privs);
  EXPECT_TRUE(spec->readonly_rootfs);
  EXPECT_EQ(spec->identity.oom_score_adj, -5);
  EXPECT_EQ(spec->upper, "containers/c/upper");
  EXPECT_EQ(spec->pod_dir, "pods/p");
  ExpectRefused(MakeContainer({.add_capabilities = {"NOPE"}}), "\"NOPE\"");
}

TEST(BuildExecSpec, RunsAsTheContainerDoes) {
  const ContainerRecord container = MakeContainer(
      {.working_dir = "/w", .envs = {"A=b"}, .drop_capabilities = {"ALL"}, .no_new_privs = true},
      {.uid = 5});
  const absl::StatusOr<ContainerSpec> spec = Build(container);
  const absl::StatusOr<ExecSpec> exec = BuildExecSpec(container, MakePod(), {"id", "-u"});
  ASSERT_TRUE(spec.ok() && exec.ok());
  EXPECT_THAT(exec->args, ElementsAre("id", "-u"));
  EXPECT_EQ(exec->env, spec->env);
  EXPECT_EQ(exec->cwd, "/w");
  EXPECT_EQ(exec->identity.uid, 5u);
  EXPECT_EQ(exec->identity.capabilities, 0u);
  EXPECT_TRUE(exec->identity.no_new_privs);
}

TEST(BuildExecSpec, RefusesNoCommandAndNulBytes) {
  for (const Strings& command : {Strings{}, Strings{""}, Strings{"a", std::string("b\0c", 3)}}) {
    EXPECT_EQ(BuildExecSpec(MakeContainer(), MakePod(), command).status().code(),
              absl::StatusCode::kInvalidArgument);
  }
}

TEST(ParseStopSignal, TakesNamesNumbersAndTheRealTimeOnes) {
  const struct {
    const char* text;
    int number;
  } cases[] = {{"", 0},
               {"SIGTERM", SIGTERM},
               {"TERM", SIGTERM},
               {"sigquit", SIGQUIT},
               {"9", 9},
               {"64", 64},
               {"SIGIO", SIGIO},
               {"SIGPOLL", SIGPOLL},
               {"SIGIOT", SIGABRT},
               {"SIGCLD", SIGCHLD},
               {"SIGRTMIN", SIGRTMIN},
               {"RTMIN+3", SIGRTMIN + 3},
               {"SIGRTMAX", SIGRTMAX},
               {"SIGRTMAX-14", SIGRTMAX - 14},
               {"RTMIN+0", SIGRTMIN}};
  for (const auto& each : cases) {
    const absl::StatusOr<int> signal = ParseStopSignal(each.text);
    ASSERT_TRUE(signal.ok()) << signal.status();
    EXPECT_EQ(*signal, each.number) << each.text;
  }
}

TEST(ParseStopSignal, RefusesWhatIsNone) {
  for (const char* text :
       {"SIG", "SIGNOPE", "0", "-1", "65", "99999999999", "TERM ", "SIGSIGTERM", "RTMIN+31",
        "RTMIN+-1", "RTMIN++1", "RTMAX+1", "RTMIN-1", "RTMAX-99", "RTMIN+", "15x"}) {
    EXPECT_EQ(ParseStopSignal(text).status().code(), absl::StatusCode::kInvalidArgument) << text;
  }
}

}  // namespace
}  // namespace berth
