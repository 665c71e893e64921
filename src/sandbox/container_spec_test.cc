#include "src/sandbox/container_spec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <map>
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
  return BuildContainerSpec(container, MakePod(), {});
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
  const absl::StatusOr<ContainerSpec> spec = BuildContainerSpec(container, MakePod("web"), {});
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
  EXPECT_EQ(spec->identity.caps.permitted, uint64_t{1} << 12);
  EXPECT_TRUE(spec->identity.no_new_privs);
  EXPECT_TRUE(spec->readonly_rootfs);
  EXPECT_EQ(spec->identity.oom_score_adj, -5);
  EXPECT_EQ(spec->upper, "containers/c/upper");
  EXPECT_EQ(spec->pod_dir, "pods/p");
  ExpectRefused(MakeContainer({.add_capabilities = {"NOPE"}}), "\"NOPE\"");
}

TEST(BuildContainerSpec, MountPointsAreTheLowestLayerWhereThereIsRoom) {
  const ContainerSpecOptions options = {.mount_points = true};
  const ContainerRecord container = MakeContainer({}, {.layers = {"layers/1", "layers/2"}});
  const absl::StatusOr<ContainerSpec> spec = BuildContainerSpec(container, MakePod(), options);
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_THAT(spec->layers, ElementsAre("mount-points", "layers/1", "layers/2"));
  EXPECT_THAT(Build(container)->layers, ElementsAre("layers/1", "layers/2"));
  const Strings all(500, "layers/1");  // as many as overlayfs stacks
  EXPECT_EQ(BuildContainerSpec(MakeContainer({}, {.layers = all}), MakePod(), options)->layers,
            all);
}

TEST(BuildExecSpec, RunsAsTheContainerDoes) {
  const ContainerRecord container = MakeContainer(
      {.working_dir = "/w", .envs = {"A=b"}, .drop_capabilities = {"ALL"}, .no_new_privs = true},
      {.uid = 5});
  const absl::StatusOr<ContainerSpec> spec = Build(container);
  const absl::StatusOr<ExecSpec> exec = BuildExecSpec(container, MakePod(), {"id", "-u"}, {});
  ASSERT_TRUE(spec.ok() && exec.ok());
  EXPECT_THAT(exec->args, ElementsAre("id", "-u"));
  EXPECT_EQ(exec->env, spec->env);
  EXPECT_EQ(exec->cwd, "/w");
  EXPECT_EQ(exec->identity.uid, 5u);
  EXPECT_EQ(exec->identity.caps.permitted, 0u);
  EXPECT_TRUE(exec->identity.no_new_privs);
}

TEST(BuildExecSpec, RefusesNoCommandAndNulBytes) {
  for (const Strings& command : {Strings{}, Strings{""}, Strings{"a", std::string("b\0c", 3)}}) {
    EXPECT_EQ(BuildExecSpec(MakeContainer(), MakePod(), command, {}).status().code(),
              absl::StatusCode::kInvalidArgument);
  }
}

PodRecord MakeUserNamespacePod() {
  PodRecord pod = MakePod();
  pod.config.namespaces.user = {.uids = {{0, 65536, 65536}}, .gids = {{0, 65536, 65536}}};
  return pod;
}

TEST(BuildContainerSpec, HasTheNodesNameWhereThePodHasNone) {
  const auto has = [](const PodRecord& pod, const std::string& variable) {
    const absl::StatusOr<ContainerSpec> spec =
        BuildContainerSpec(MakeContainer(), pod, {.node_hostname = "node-1"});
    return spec.ok() && std::count(spec->env.begin(), spec->env.end(), variable) == 1;
  };
  EXPECT_TRUE(has(MakePod(), "HOSTNAME=node-1"));
  EXPECT_TRUE(has(MakePod("web"), "HOSTNAME=web"));
}

TEST(BuildContainerSpec, GivesEveryProcessTheNodesLimits) {
  const ContainerSpecOptions options = {.rlimits = {{7, 10, 20}}};
  const absl::StatusOr<ContainerSpec> spec =
      BuildContainerSpec(MakeContainer(), MakePod(), options);
  const absl::StatusOr<ExecSpec> exec = BuildExecSpec(MakeContainer(), MakePod(), {"x"}, options);
  ASSERT_TRUE(spec.ok() && exec.ok());
  ASSERT_EQ(spec->identity.rlimits.size(), 1u);
  ASSERT_EQ(exec->identity.rlimits.size(), 1u);
  EXPECT_EQ(spec->identity.rlimits[0].hard, 20u);
  EXPECT_EQ(exec->identity.rlimits[0].soft, 10u);
}

TEST(BuildContainerSpec, RaisesAmbientCapabilitiesInEachSetThatTheyNeed) {
  constexpr uint64_t kNetAdmin = uint64_t{1} << 12, kKill = uint64_t{1} << 5;
  const absl::StatusOr<ContainerSpec> spec =
      Build(MakeContainer({.add_capabilities = {"KILL"},
                           .drop_capabilities = {"ALL"},
                           .ambient_capabilities = {"cap_net_admin"}}));
  ASSERT_TRUE(spec.ok()) << spec.status();
  const CapabilitySets& caps = spec->identity.caps;
  EXPECT_EQ(caps.ambient, kNetAdmin);
  EXPECT_EQ(caps.inheritable, kNetAdmin);
  EXPECT_EQ(caps.permitted, kNetAdmin | kKill);
  EXPECT_EQ(caps.effective, kNetAdmin | kKill);
  EXPECT_EQ(caps.bounding, kNetAdmin | kKill);
  ExpectRefused(MakeContainer({.ambient_capabilities = {"NOPE"}}), "\"NOPE\"");
  EXPECT_EQ(Build(MakeContainer({}))->identity.caps.ambient, 0u);
  EXPECT_EQ(Build(MakeContainer({}))->identity.caps.inheritable, 0u);
  EXPECT_EQ(Build(MakeContainer({.ambient_capabilities = {"ALL"}}))->identity.caps.ambient,
            Build(MakeContainer({.add_capabilities = {"ALL"}}))->identity.caps.permitted);
}

TEST(BuildContainerSpec, LetsAPrivilegedContainerSeeTheKernelAsItIs) {
  const absl::StatusOr<ContainerSpec> spec =
      Build(MakeContainer({.drop_capabilities = {"ALL"},
                           .no_new_privs = true,
                           .privileged = true,
                           .masked_paths = {"/proc/kcore"},
                           .readonly_paths = {"/proc/sys"}}));
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_TRUE(spec->masked_paths.empty());
  EXPECT_TRUE(spec->readonly_paths.empty());
  EXPECT_FALSE(spec->namespaces.private_cgroup);
  EXPECT_TRUE(spec->identity.no_new_privs);
  EXPECT_EQ(spec->identity.caps.permitted,
            Build(MakeContainer({.add_capabilities = {"ALL"}}))->identity.caps.permitted);
  const absl::StatusOr<ContainerSpec> plain =
      Build(MakeContainer({.masked_paths = {"/proc/kcore"}, .readonly_paths = {"/proc/sys"}}));
  EXPECT_THAT(plain->masked_paths, ElementsAre("/proc/kcore"));
  EXPECT_THAT(plain->readonly_paths, ElementsAre("/proc/sys"));
  EXPECT_TRUE(plain->namespaces.private_cgroup);
}

TEST(BuildContainerSpec, IsInThePodsUserNamespace) {
  const absl::StatusOr<ContainerSpec> spec =
      BuildContainerSpec(MakeContainer({.privileged = true}), MakeUserNamespacePod(), {});
  ASSERT_TRUE(spec.ok()) << spec.status();
  ASSERT_EQ(spec->namespaces.user.uids.size(), 1u);
  EXPECT_EQ(spec->namespaces.user.uids[0].host_id, 65536u);
  EXPECT_TRUE(spec->namespaces.private_cgroup);
  ASSERT_FALSE(spec->devices.empty());
  for (const DeviceSpec& device : spec->devices) EXPECT_NE(device.view_path, "") << device.path;
  EXPECT_TRUE(BuildExecSpec(MakeContainer(), MakeUserNamespacePod(), {"x"}, {})->user_namespace);
  EXPECT_FALSE(BuildExecSpec(MakeContainer(), MakePod(), {"x"}, {})->user_namespace);
}

TEST(BuildContainerSpec, HasTheUsualDevicesAndKeepsStdinOpenIfAsked) {
  const absl::StatusOr<ContainerSpec> spec = Build(MakeContainer({.stdin_open = true}));
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_TRUE(spec->stdin_open);
  EXPECT_FALSE(Build(MakeContainer())->stdin_open);
  Strings paths;
  for (const DeviceSpec& device : spec->devices) paths.push_back(device.path);
  EXPECT_THAT(paths, testing::Contains("/dev/null"));
}

TEST(MergeLimits, ANewMemoryLimitEndsTheOldSwapLimitThatIncludedTheOldOne) {
  EXPECT_EQ(MergeLimits({.memory_bytes = 100, .memory_swap_bytes = 100}, {.memory_bytes = 200})
                .memory_swap_bytes,
            std::nullopt);
}

}  // namespace
}  // namespace berth
