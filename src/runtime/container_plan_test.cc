// What must hold of every plan, whatever else is in it. Whole plans are in plan_golden_test.cc.
#include "src/runtime/container_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "src/runtime/plan_cases.h"

namespace berth {
namespace {

using ::testing::Contains;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::ElementsAreArray;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;
using wire::Op;

const NodeFacts kV2 = {.cgroup_v2 = true, .data_dir = "/var/lib/berth"};
const PlanFds kUserNamespaceFds = {.cgroup_tasks = 1, .volumes = 2, .user_namespace = true};

std::vector<std::string> Lines(const ContainerSpec& spec, const NodeFacts& node = kV2,
                               const PlanFds& fds = {}) {
  return DescribePlan(BuildContainerPlan(spec, node, fds));
}

// Those lines of `lines` that begin with one of `words`.
std::vector<std::string> Only(const std::vector<std::string>& lines,
                              const std::vector<std::string>& words) {
  std::vector<std::string> some;
  for (const std::string& line : lines) {
    const bool wanted = std::any_of(words.begin(), words.end(), [&](const std::string& word) {
      return line == word || absl::StartsWith(line, word + " ");
    });
    if (wanted) some.push_back(line);
  }
  return some;
}

const PlanStep& StepOf(const LaunchPlan& plan, Op op, const std::string& first_string) {
  for (const PlanStep& step : plan.steps) {
    if (step.op == op && !step.strings.empty() && step.strings[0] == first_string) return step;
  }
  ADD_FAILURE() << "no step for " << first_string;
  return plan.steps.front();
}

// Index of the first such step, or the number of steps.
size_t Place(const LaunchPlan& plan, Op op) {
  const auto found = std::find_if(plan.steps.begin(), plan.steps.end(),
                                  [&](const PlanStep& step) { return step.op == op; });
  return static_cast<size_t>(found - plan.steps.begin());
}

TEST(BuildContainerPlan, JoinsEachV1CgroupBeforeTheCgroupNamespaceIsMade) {
  const std::vector<std::string> lines = Lines(PlainSpec(), {}, {.cgroup_tasks = 3});
  EXPECT_THAT(Only(lines, {"join-cgroup", "unshare"}),
              ElementsAre("join-cgroup a=0x0", "join-cgroup a=0x1", "join-cgroup a=0x2",
                          "unshare a=0x2000000"));
}

TEST(BuildContainerPlan, AwaitsLateCgroupsBeforeWhatNeedsThem) {
  const NodeFacts v1 = {.v1_hierarchies = {"memory"}};
  const PlanFds late = {.late_cgroups = true};
  const std::vector<std::string> words = {"await-and-join-cgroups", "join-cgroup", "unshare",
                                          "write-proc", "pivot-root"};
  ContainerSpec spec = PlainSpec();
  spec.identity.oom_score_adj = 7;
  const std::vector<std::string> lines = Lines(spec, v1, late);
  const auto await = std::find(lines.begin(), lines.end(), "await-and-join-cgroups");
  ASSERT_NE(await, lines.end());
  EXPECT_EQ(*std::next(await), "unshare a=0x2000000");
  EXPECT_THAT(*std::next(await, 2), StartsWith("mount a=0xe tmpfs /sys/fs/cgroup"));
  EXPECT_EQ(*std::next(await, 3), "bind a=0x10000 b=0x2 c=0xf /sys/fs/cgroup/memory");
  // Without such a mount, and in the node's cgroup namespace, before the process changes.
  std::erase_if(spec.mounts,
                [](const MountSpec& mount) { return mount.kind == MountSpec::Kind::kCgroup; });
  spec.namespaces.private_cgroup = false;
  EXPECT_THAT(
      Only(Lines(spec, v1, late), words),
      ElementsAre("await-and-join-cgroups", "write-proc self/oom_score_adj 7", "pivot-root"));
}

TEST(BuildContainerPlan, MountsV1HierarchiesReadOnlyWithLinksForJoinedControllers) {
  const std::vector<std::string> lines =
      Lines(PlainSpec(), {.v1_hierarchies = {"cpu,cpuacct", "memory", "name=systemd"}});
  std::vector<std::string> cgroup;
  for (const std::string& line : lines) {
    if (absl::StrContains(line, "/sys/fs/cgroup")) cgroup.push_back(line);
  }
  EXPECT_THAT(cgroup, ElementsAre("mount a=0xe tmpfs /sys/fs/cgroup mode=755,size=64k",
                                  "make-directory a=0x1ed /sys/fs/cgroup/cpu,cpuacct",
                                  "mount a=0xf cgroup /sys/fs/cgroup/cpu,cpuacct cpu,cpuacct",
                                  "symlink /sys/fs/cgroup/cpu cpu,cpuacct",
                                  "symlink /sys/fs/cgroup/cpuacct cpu,cpuacct",
                                  "make-directory a=0x1ed /sys/fs/cgroup/memory",
                                  "mount a=0xf cgroup /sys/fs/cgroup/memory memory",
                                  "make-directory a=0x1ed /sys/fs/cgroup/systemd",
                                  "mount a=0xf cgroup /sys/fs/cgroup/systemd none,name=systemd",
                                  "set-mount-attributes a=0x1 /sys/fs/cgroup"));
}

// A kernel may refuse these inside a container that is itself in one: the container runs without
// them then.
TEST(BuildContainerPlan, GoesOnWithoutCgroupMountsThatTheKernelRefuses) {
  const LaunchPlan plan =
      BuildContainerPlan(PlainSpec(), {.unified = true, .v1_hierarchies = {"memory"}}, {});
  EXPECT_EQ(StepOf(plan, Op::kMount, "cgroup").c, 1);
  EXPECT_EQ(StepOf(plan, Op::kMount, "cgroup2").c, 1);
  EXPECT_EQ(StepOf(plan, Op::kMount, "proc").c, 0);
}

// A ',' may stand in an option (an SELinux level), a newline not.
TEST(BuildContainerPlan, PartsMountOptionsByNewlines) {
  ContainerSpec spec = PlainSpec();
  spec.mount_label = "u:r:t:s0:c1,c2";
  const LaunchPlan plan = BuildContainerPlan(spec, kV2, {});
  EXPECT_EQ(StepOf(plan, Op::kMount, "tmpfs").strings[2],
            "mode=755\nsize=65536k\ncontext=u:r:t:s0:c1,c2");
  EXPECT_EQ(StepOf(plan, Op::kMount, "proc").strings[2], "");
  EXPECT_EQ(StepOf(plan, Op::kMountOverlay, "layers/2:layers/1").strings[5], "u:r:t:s0:c1,c2");
}

TEST(BuildContainerPlan, UsesMountOfOneOptionStringOnOldKernels) {
  const LaunchPlan plan =
      BuildContainerPlan(PlainSpec(), {.overlay_by_fsopen = false, .cgroup_v2 = true}, {});
  EXPECT_EQ(StepOf(plan, Op::kMountOverlay, "layers/2:layers/1").a, wire::kOverlayVolatile);
}

// The working directory is made in the writable layer first.
TEST(BuildContainerPlan, MakesTheRootReadOnlyLastOfAllThatTouchesIt) {
  ContainerSpec spec = PlainSpec();
  spec.readonly_rootfs = true;
  EXPECT_THAT(Only(Lines(spec), {"pivot-root", "chdir", "set-mount-attributes", "set-identity"}),
              ElementsAre("pivot-root", "chdir /srv", "set-mount-attributes a=0x1 /",
                          "set-identity a=0x0 b=0x0 0 groups"));
}

TEST(BuildContainerPlan, GivesATerminalInPlaceOfTheLogPipes) {
  ContainerSpec spec = PlainSpec();
  spec.terminal = true;
  const std::vector<std::string> lines = Lines(spec);
  EXPECT_THAT(Only(lines, {"stdio"}), IsEmpty());
  EXPECT_THAT(Only(lines, {"new-session", "terminal", "link-console", "pivot-root"}),
              ElementsAre("new-session", "terminal", "link-console", "pivot-root"));
}

TEST(BuildContainerPlan, MasksAfterAllMountsAndBeforeTheRootIsLeft) {
  ContainerSpec spec = WithMounts({Volume("/v", 0)});
  spec.masked_paths = {"/proc/kcore", "/sys/firmware"};
  spec.readonly_paths = {"/proc/sys"};
  EXPECT_THAT(Only(Lines(spec), {"bind a=0x0 b=0x0 c=0x0 /v", "mask", "read-only", "pivot-root"}),
              ElementsAre("bind a=0x0 b=0x0 c=0x0 /v", "mask /proc/kcore", "mask /sys/firmware",
                          "read-only /proc/sys", "pivot-root"));
}

// A /dev of the host's is not to be changed: neither nodes nor links are made there.
TEST(BuildContainerPlan, MakesNothingInADevThatWasBroughtAlong) {
  ContainerSpec spec = WithMounts({Volume("/dev", 0)});
  spec.devices.push_back({.path = "/srv/tty"});
  EXPECT_THAT(Only(Lines(spec), {"make-node", "symlink"}),
              ElementsAre("make-node a=0x21b6 b=0x0 c=0x0 /srv/tty"));
}

std::vector<std::string> IdentityLines(const ProcessIdentity& identity) {
  ContainerSpec spec = PlainSpec();
  spec.identity = identity;
  return Only(Lines(spec), {"keep-bounding-capabilities", "load-seccomp", "set-identity",
                            "set-capabilities", "no-new-privileges", "exec"});
}

// Loading a filter takes CAP_SYS_ADMIN or no_new_privs (seccomp(2)).
TEST(BuildContainerPlan, LoadsSeccompWhileStillPrivilegedWithoutNoNewPrivs) {
  EXPECT_THAT(
      IdentityLines({.uid = 1000,
                     .gid = 100,
                     .caps = {.bounding = 1, .permitted = 1, .effective = 1},
                     .program = {.filter = std::string(16, '\0')}}),
      ElementsAre("keep-bounding-capabilities a=0x1", "load-seccomp a=0x0 2 instructions",
                  "set-identity a=0x3e8 b=0x64 0 groups", "set-capabilities a=0x1 b=0x1 c=0x0",
                  "exec sleep 9 (1 environment variables)"));
}

TEST(BuildContainerPlan, LoadsSeccompLastOfAllWithNoNewPrivs) {
  EXPECT_THAT(
      IdentityLines(
          {.uid = 1000, .no_new_privs = true, .program = {.filter = std::string(16, '\0')}}),
      ElementsAre("keep-bounding-capabilities a=0x0", "set-identity a=0x3e8 b=0x0 0 groups",
                  "set-capabilities a=0x0 b=0x0 c=0x0", "no-new-privileges",
                  "load-seccomp a=0x0 2 instructions", "exec sleep 9 (1 environment variables)"));
}

TEST(BuildContainerPlan, LoadsNoSeccompWhenUnconfined) {
  EXPECT_THAT(IdentityLines({.no_new_privs = true}), Not(Contains(StartsWith("load-seccomp"))));
  EXPECT_THAT(IdentityLines({}), Not(Contains(StartsWith("load-seccomp"))));
}

TEST(BuildContainerPlan, RaisesNoAmbientCapabilityUnlessAsked) {
  ContainerSpec spec = PlainSpec();
  spec.identity.caps.permitted = ~uint64_t{0};
  EXPECT_THAT(Only(Lines(spec), {"set-ambient-capabilities"}), IsEmpty());
}

TEST(BuildContainerPlan, PacksGroupsAsIntegers) {
  ContainerSpec spec = PlainSpec();
  spec.identity.groups = {7, 0xfffffffe};
  const LaunchPlan plan = BuildContainerPlan(spec, kV2, {});
  const std::string& packed = plan.steps.at(Place(plan, Op::kSetIdentity)).strings[0];
  ASSERT_EQ(packed.size(), 8u);
  uint32_t groups[2];
  std::memcpy(groups, packed.data(), sizeof(groups));
  EXPECT_THAT(groups, ElementsAre(7u, 0xfffffffeu));
}

TEST(BuildContainerPlan, NamesDescriptorsInTheOrderOfPlanFds) {
  const LaunchPlan plan =
      BuildContainerPlan(WithMounts({Volume("/v", 1)}), kV2, {.cgroup_tasks = 11, .volumes = 2});
  EXPECT_EQ(StepOf(plan, Op::kBind, "/v").a, 12);
  ContainerSpec spec = UserNamespaceSpec();
  spec.host_view = HostView{.bundle = "/b"};
  const LaunchPlan both = BuildContainerPlan(
      spec, kV2, {.cgroup_tasks = 1, .volumes = 2, .user_namespace = true, .host_mounts = true});
  EXPECT_EQ(both.steps.at(Place(both, Op::kEnterUserNamespace)).a, 3);
  EXPECT_EQ(both.steps.at(Place(both, Op::kSetNs)).a, 4);
}

// oci hooks: runtime ones and createContainer before the root is left, startContainer last of all,
// with the rights of the container's process.
TEST(BuildContainerPlan, RunsHooksAtTheirTimes) {
  ContainerSpec spec = PlainSpec();
  spec.host_view = HostView{.bundle = "/b"};
  spec.hooks.prestart = {{.path = "/p"}};
  spec.hooks.create_container = {{.path = "/c"}};
  spec.hooks.start_container = {{.path = "/s"}};
  spec.hooks.poststart = {{.path = "/never"}};
  EXPECT_THAT(
      Only(Lines(spec), {"ask-for-hooks", "hook", "pivot-root", "set-capabilities", "exec"}),
      ElementsAre("ask-for-hooks", "hook c=0x2710 /c (0 environment variables)", "pivot-root",
                  "set-capabilities a=0x21 b=0x21 c=0x0",
                  "hook c=0x2710 /s (0 environment variables)",
                  "exec sleep 9 (1 environment variables)"));
}

// What takes the node's root comes before the user namespace is entered; what is to belong to the
// namespace's root comes after.
TEST(BuildContainerPlan, DividesItsStepsAtTheEntryOfAUserNamespace) {
  ContainerSpec spec = UserNamespaceSpec(
      {{.kind = MountSpec::Kind::kImage, .target = "/model", .layers = {"layers/8", "layers/9"}}});
  spec.identity.oom_score_adj = -9;
  spec.identity.rlimits = {{.resource = 7, .soft = 1, .hard = 2}};
  const LaunchPlan plan = BuildContainerPlan(spec, kV2, kUserNamespaceFds);
  const size_t entry = Place(plan, Op::kEnterUserNamespace);
  ASSERT_LT(entry, plan.steps.size());
  for (const Op op : {Op::kJoinCgroup, Op::kOpenTree, Op::kIdmapTree, Op::kMountOverlay,
                      Op::kMountImage, Op::kWriteProc, Op::kSetRlimit}) {
    EXPECT_LT(Place(plan, op), entry) << static_cast<int>(op);
  }
  for (const Op op : {Op::kMount, Op::kBind, Op::kSymlink, Op::kNewSession, Op::kSetIdentity})
    EXPECT_GT(Place(plan, op), entry) << static_cast<int>(op);
  EXPECT_EQ(Place(plan, Op::kMakeNode), plan.steps.size()) << "mknod(2) is not to be had there";
}

TEST(BuildContainerPlan, MakesTheCgroupNamespaceInsideOfTheUserNamespaceEvenIfPrivileged) {
  ContainerSpec spec = UserNamespaceSpec();
  spec.namespaces.private_cgroup = false;
  EXPECT_THAT(Only(Lines(spec, kV2, kUserNamespaceFds), {"enter-user-namespace", "unshare"}),
              ElementsAre("unshare a=0x20000", "enter-user-namespace a=0x3 b=0x20020000",
                          "unshare a=0x2000000"));
}

TEST(BuildContainerPlan, HasEachTreeOnceAndNoMoreThanThereAreSlotsFor) {
  ContainerSpec spec = UserNamespaceSpec();
  for (int i = 0; i < 2 * wire::kTreeSlots; ++i) {
    spec.devices.push_back(
        {.path = absl::StrCat("/dev/x", i), .view_path = absl::StrCat("/dev/x", i / 2)});
  }
  std::set<std::string> opened;
  for (const PlanStep& step : BuildContainerPlan(spec, kV2, kUserNamespaceFds).steps) {
    if (step.op != Op::kOpenTree) continue;
    EXPECT_LT(step.a, wire::kTreeSlots);
    EXPECT_TRUE(opened.insert(step.strings[0]).second) << step.strings[0];
  }
  EXPECT_EQ(opened.size(), static_cast<size_t>(wire::kTreeSlots));
}

// One function makes both: an exec may never do what the container's first process may not.
TEST(BuildExecPlan, BecomesTheSameIdentityAsTheContainer) {
  const ProcessIdentity identity = {
      .uid = 1000,
      .gid = 100,
      .groups = {5},
      .caps = {.bounding = 0x400, .permitted = 0x400, .effective = 0x400},
      .no_new_privs = true,
      .program = {.filter = std::string(8, '\0')}};
  ContainerSpec spec = PlainSpec();
  spec.identity = identity;
  const auto tail = [](const LaunchPlan& plan) {
    std::vector<std::string> lines = DescribePlan(plan);
    return std::vector<std::string>(lines.end() - 6, lines.end() - 1);
  };
  const std::vector<std::string> container = tail(BuildContainerPlan(spec, kV2, {}));
  EXPECT_EQ(container[0], "keep-bounding-capabilities a=0x400");
  EXPECT_THAT(tail(BuildExecPlan({.args = {"id"}, .identity = identity})),
              ElementsAreArray(container));
}

struct PodCase {
  const char* name;
  NamespaceMode network, ipc;
  std::vector<std::string> unshared;
  std::string shm;
};

class BuildPodPlanTest : public testing::TestWithParam<PodCase> {};

TEST_P(BuildPodPlanTest, MakesTheNamespacesThatAreThePods) {
  const PodCase& param = GetParam();
  const PodSpec spec = {.network = param.network, .ipc = param.ipc, .hostname = "web"};
  const std::vector<std::string> lines = DescribePlan(BuildPodPlan(spec, 0));
  EXPECT_EQ(Only(lines, {"unshare"}), param.unshared);
  EXPECT_EQ(lines[1], "private-mounts a=0x0");
  EXPECT_EQ(Only(lines, {"mount", "bind"}), std::vector<std::string>{param.shm});
  const bool own_network = param.network == NamespaceMode::kPod;
  EXPECT_EQ(Only(lines, {"set-hostname web"}).size(), own_network ? 1u : 0u);
  // The node's own sysctls are never written.
  EXPECT_EQ(Only(lines, {"write-proc"}).empty(), !own_network);
  EXPECT_THAT(Only(lines, {"write-proc"}), Each(StartsWith("write-proc sys/net/")));
}

TEST_P(BuildPodPlanTest, BeginsWithTheCommonPlanExactlyIfItSaysSo) {
  const PodSpec spec = {.network = GetParam().network, .ipc = GetParam().ipc};
  const std::vector<std::string> common = DescribePlan(BuildCommonPodPlan());
  std::vector<std::string> begin = DescribePlan(BuildPodPlan(spec, 0));
  begin.resize(std::min(begin.size(), common.size()));
  EXPECT_EQ(begin == common, BeginsWithCommonPlan(spec));
}

// 0x20000 mount, 0x4000000 UTS, 0x8000000 IPC, 0x40000000 network
INSTANTIATE_TEST_SUITE_P(Modes, BuildPodPlanTest,
                         testing::Values(PodCase{"OwnNetworkOwnIpc",
                                                 NamespaceMode::kPod,
                                                 NamespaceMode::kPod,
                                                 {"unshare a=0x8020000", "unshare a=0x44000000"},
                                                 "mount a=0xe tmpfs /shm mode=1777,size=65536k"},
                                         PodCase{"OwnNetworkNodeIpc",
                                                 NamespaceMode::kPod,
                                                 NamespaceMode::kNode,
                                                 {"unshare a=0x20000", "unshare a=0x44000000"},
                                                 "bind a=0x0 b=0x0 c=0x0 /shm"},
                                         PodCase{"NodeNetworkOwnIpc",
                                                 NamespaceMode::kNode,
                                                 NamespaceMode::kPod,
                                                 {"unshare a=0x8020000"},
                                                 "mount a=0xe tmpfs /shm mode=1777,size=65536k"},
                                         PodCase{"NodeNetworkNodeIpc",
                                                 NamespaceMode::kNode,
                                                 NamespaceMode::kNode,
                                                 {"unshare a=0x20000"},
                                                 "bind a=0x0 b=0x0 c=0x0 /shm"}),
                         [](const auto& info) { return info.param.name; });

TEST(BuildPodPlan, KeepsTheNodesHostnameWithoutOneOfItsOwn) {
  EXPECT_THAT(Only(DescribePlan(BuildPodPlan({}, 0)), {"set-hostname"}), IsEmpty());
}

TEST(BuildPodPlan, EntersANetworkThatWasMadeForThePodBeforeItsSysctlsAreSet) {
  const LaunchPlan plan = BuildPodPlan({.sysctls = {{"net.core.somaxconn", "9"}}},
                                       /*host_shm_fd=*/-1, /*network_fd=*/3);
  const std::vector<std::string> lines = DescribePlan(plan);
  EXPECT_THAT(Only(lines, {"unshare", "set-namespace"}),
              ElementsAre("unshare a=0x8020000", "unshare a=0x4000000",  // mount, IPC; UTS
                          "set-namespace a=0x3 b=0x40000000"));
  // It has those that all pods' have.
  EXPECT_THAT(Only(lines, {"write-proc"}), ElementsAre("write-proc sys/net/core/somaxconn 9"));
}

TEST(BuildPodPlan, WritesTheSysctlsAskedForInPlaceOfItsOwnDefaults) {
  const LaunchPlan plan = BuildPodPlan({.sysctls = {{"net.ipv4.ip_unprivileged_port_start", "1024"},
                                                    {"kernel.shm_rmid_forced", "1"}}},
                                       0);
  const std::vector<std::string> written = Only(DescribePlan(plan), {"write-proc"});
  EXPECT_THAT(written, Contains("write-proc sys/net/ipv4/ip_unprivileged_port_start 1024"));
  EXPECT_THAT(written, Contains("write-proc sys/kernel/shm_rmid_forced 1"));
  EXPECT_THAT(written, Not(Contains("write-proc sys/net/ipv4/ip_unprivileged_port_start 0")));
  // What was asked for and cannot be had is an error; a default of ours is not.
  EXPECT_EQ(StepOf(plan, Op::kWriteProc, "sys/kernel/shm_rmid_forced").a, 0);
  EXPECT_EQ(StepOf(plan, Op::kWriteProc, "sys/net/ipv6/conf/default/accept_ra").a,
            wire::kTolerateAbsent);
}

PodSpec UserPod(std::map<std::string, std::string> sysctls = {}) {
  return {.sysctls = std::move(sysctls),
          .user = {.uids = {{.host_id = 70000, .length = 1000}},
                   .gids = {{.host_id = 80000, .length = 2000}}}};
}

TEST(BuildPodPlan, LetsTheUserNamespaceOwnThePodsNamespaces) {
  const LaunchPlan plan = BuildPodPlan(UserPod(), 0);
  EXPECT_EQ(plan.steps[0].a, CLONE_NEWNS);
  const PlanStep& made = plan.steps.at(Place(plan, Op::kCreateUserNamespace));
  EXPECT_THAT(made.strings, ElementsAre("0 70000 1000\n", "0 80000 2000\n"));
  EXPECT_EQ(made.a, CLONE_NEWNET | CLONE_NEWUTS | CLONE_NEWIPC);
  EXPECT_EQ(StepOf(plan, Op::kMount, "tmpfs").strings[2],
            "mode=1777\nsize=65536k\nuid=70000\ngid=80000");
}

// The monitor, which writes them, is the node's root: icmp(7) takes the groups as the writer's.
TEST(BuildPodPlan, TranslatesPingGroupsToTheNodesNumbers) {
  struct Case {
    const char* asked;
    const char* written;
  };
  const Case cases[] = {{"0 2147483647", "80000 81999"},
                        {"5 5", "80005 80005"},
                        {"0\t9", "80000 80009"},
                        {"2000 3000", "1 0"},
                        {"1 0", "1 0"},
                        {"nonsense", "nonsense"}};
  for (const Case& one : cases) {
    const LaunchPlan plan = BuildPodPlan(UserPod({{"net.ipv4.ping_group_range", one.asked}}), 0);
    EXPECT_EQ(StepOf(plan, Op::kWriteProc, "sys/net/ipv4/ping_group_range").strings[1], one.written)
        << one.asked;
  }
  EXPECT_EQ(StepOf(BuildPodPlan(UserPod(), 0), Op::kWriteProc, "sys/net/ipv4/ping_group_range")
                .strings[1],
            "80000 81999");
}

TEST(BuildPodPlan, NamesTheRootOfAnIpcNamespaceForItsSysctlsOnly) {
  const LaunchPlan plan = BuildPodPlan(
      UserPod({{"kernel.shmmax", "1"}, {"fs.mqueue.msg_max", "9"}, {"net.core.somaxconn", "9"}}),
      0);
  EXPECT_EQ(StepOf(plan, Op::kWriteProc, "sys/kernel/shmmax").b, 70000);
  EXPECT_EQ(StepOf(plan, Op::kWriteProc, "sys/fs/mqueue/msg_max").b, 70000);
  EXPECT_EQ(StepOf(plan, Op::kWriteProc, "sys/net/core/somaxconn").b, 0);
  EXPECT_EQ(StepOf(BuildPodPlan({.sysctls = {{"kernel.shmmax", "1"}}}, 0), Op::kWriteProc,
                   "sys/kernel/shmmax")
                .b,
            0);
}

}  // namespace
}  // namespace berth
