#include "src/runtime/container_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/sched.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

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

ContainerSpec MakeSpec() {
  return {.layers = {"layers/1", "layers/2"},
          .upper = "containers/c/upper",
          .work = "containers/c/work",
          .pod_dir = "pods/p",
          .args = {"sleep", "9"},
          .env = {"PATH=/bin"},
          .cwd = "/srv",
          .identity = {.capabilities = 0x21}};
}

const NodeFacts kV2 = {.cgroup_v2 = true};
constexpr int64_t kReadOnly = 1;  // MOUNT_ATTR_RDONLY

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

// The whole of it, in order: a change of a container's making shows here.
TEST(BuildContainerPlan, IsThisForADefaultContainerOnCgroupV2) {
  EXPECT_THAT(
      Lines(MakeSpec()),
      ElementsAre("private-mounts",
                  "unshare a=0x2000000",  // CLONE_NEWCGROUP
                  "new-session", "stdio a=-1 b=-2 c=-3",
                  "mount-overlay a=0x3 layers/2:layers/1 containers/c/upper containers/c/work",
                  "mount a=0xe proc /proc ", "mount a=0x2 tmpfs /dev mode=755,size=65536k",
                  "mount a=0xa devpts /dev/pts newinstance,ptmxmode=0666,mode=0620,gid=5",
                  "mount a=0xe mqueue /dev/mqueue ", "mount a=0xf sysfs /sys ",
                  "bind a=-1 c=0x0 /dev/shm /shm", "mount a=0xf cgroup2 /sys/fs/cgroup nsdelegate",
                  "make-node a=0x21b6 b=0x103 /dev/null", "make-node a=0x21b6 b=0x105 /dev/zero",
                  "make-node a=0x21b6 b=0x107 /dev/full", "make-node a=0x21b6 b=0x108 /dev/random",
                  "make-node a=0x21b6 b=0x109 /dev/urandom", "make-node a=0x21b6 b=0x500 /dev/tty",
                  "symlink /dev/ptmx pts/ptmx", "symlink /dev/fd /proc/self/fd",
                  "symlink /dev/stdin /proc/self/fd/0", "symlink /dev/stdout /proc/self/fd/1",
                  "symlink /dev/stderr /proc/self/fd/2", "symlink /dev/core /proc/kcore",
                  "bind a=-1 c=0x0 /etc/hosts /data/pods/p/hosts",
                  "bind a=-1 c=0x0 /etc/hostname /data/pods/p/hostname",
                  "bind a=-1 c=0x0 /etc/resolv.conf /data/pods/p/resolv.conf", "pivot-root",
                  "chdir /srv", "keep-bounding-capabilities a=0x21",
                  "set-identity a=0x0 b=0x0 0 groups", "set-capabilities a=0x21 b=0x0",
                  "exec sleep 9 (1 environment variables)"));
}

TEST(BuildContainerPlan, JoinsEachV1CgroupBeforeTheCgroupNamespaceIsMade) {
  const std::vector<std::string> lines = Lines(MakeSpec(), {}, {.cgroup_tasks = 3});
  EXPECT_THAT(Only(lines, {"join-cgroup", "unshare"}),
              ElementsAre("join-cgroup a=0x0", "join-cgroup a=0x1", "join-cgroup a=0x2",
                          "unshare a=0x2000000"));
}

TEST(BuildContainerPlan, MountsV1HierarchiesReadOnlyWithLinksForJoinedControllers) {
  const std::vector<std::string> lines =
      Lines(MakeSpec(), {.v1_hierarchies = {"cpu,cpuacct", "memory", "name=systemd"}});
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

TEST(BuildContainerPlan, MountsTheUnifiedHierarchyBesideV1) {
  const LaunchPlan plan =
      BuildContainerPlan(MakeSpec(), {.unified = true, .v1_hierarchies = {"memory"}}, {});
  const std::vector<std::string> lines = DescribePlan(plan);
  const auto unified =
      std::find(lines.begin(), lines.end(), "mount a=0xf cgroup2 /sys/fs/cgroup/unified ");
  const auto sealed =
      std::find(lines.begin(), lines.end(), "set-mount-attributes a=0x1 /sys/fs/cgroup");
  ASSERT_NE(unified, lines.end());
  ASSERT_NE(sealed, lines.end());
  EXPECT_LT(unified, sealed) << "nothing can be made in it once it is read-only";
}

// A kernel may refuse these inside a container that is itself in one: the container runs without
// them then.
TEST(BuildContainerPlan, GoesOnWithoutCgroupMountsThatTheKernelRefuses) {
  const LaunchPlan plan =
      BuildContainerPlan(MakeSpec(), {.unified = true, .v1_hierarchies = {"memory"}}, {});
  EXPECT_EQ(StepOf(plan, Op::kMount, "cgroup").c, 1);
  EXPECT_EQ(StepOf(plan, Op::kMount, "cgroup2").c, 1);
  EXPECT_EQ(StepOf(plan, Op::kMount, "proc").c, 0);
}

TEST(BuildContainerPlan, UsesMountOfOneOptionStringOnOldKernels) {
  const LaunchPlan plan =
      BuildContainerPlan(MakeSpec(), {.overlay_by_fsopen = false, .cgroup_v2 = true}, {});
  EXPECT_EQ(StepOf(plan, Op::kMountOverlay, "layers/2:layers/1").a, wire::kOverlayVolatile);
}

// The working directory is made in the writable layer first; binds on /etc are read-only as the
// rest is.
TEST(BuildContainerPlan, MakesTheRootReadOnlyLastOfAllThatTouchesIt) {
  ContainerSpec spec = MakeSpec();
  spec.readonly_rootfs = true;
  const LaunchPlan plan = BuildContainerPlan(spec, kV2, {});
  EXPECT_THAT(
      Only(DescribePlan(plan), {"pivot-root", "chdir", "set-mount-attributes", "set-identity"}),
      ElementsAre("pivot-root", "chdir /srv", "set-mount-attributes a=0x1 /",
                  "set-identity a=0x0 b=0x0 0 groups"));
  for (const char* file : {"/etc/hosts", "/etc/hostname", "/etc/resolv.conf"}) {
    EXPECT_EQ(StepOf(plan, Op::kBind, file).c, kReadOnly) << file;
  }
}

TEST(BuildContainerPlan, GivesATerminalInPlaceOfTheLogPipes) {
  ContainerSpec spec = MakeSpec();
  spec.terminal = true;
  const std::vector<std::string> lines = Lines(spec);
  EXPECT_THAT(Only(lines, {"stdio"}), IsEmpty());
  EXPECT_THAT(Only(lines, {"new-session", "terminal", "link-console", "pivot-root"}),
              ElementsAre("new-session", "terminal", "link-console", "pivot-root"));
}

TEST(BuildContainerPlan, MasksAfterAllMountsAndBeforeTheRootIsLeft) {
  ContainerSpec spec = MakeSpec();
  spec.masked_paths = {"/proc/kcore", "/sys/firmware"};
  spec.readonly_paths = {"/proc/sys"};
  spec.volumes = {{.target = "/v"}};
  EXPECT_THAT(Only(Lines(spec), {"bind a=0x0 c=0x0 /v", "mask", "read-only", "pivot-root"}),
              ElementsAre("bind a=0x0 c=0x0 /v", "mask /proc/kcore", "mask /sys/firmware",
                          "read-only /proc/sys", "pivot-root"));
}

std::vector<std::string> IdentityLines(const ProcessIdentity& identity) {
  ContainerSpec spec = MakeSpec();
  spec.identity = identity;
  return Only(Lines(spec), {"keep-bounding-capabilities", "load-seccomp", "set-identity",
                            "set-capabilities", "no-new-privileges", "exec"});
}

// Loading a filter takes CAP_SYS_ADMIN or no_new_privs (seccomp(2)).
TEST(BuildContainerPlan, LoadsSeccompWhileStillPrivilegedWithoutNoNewPrivs) {
  EXPECT_THAT(
      IdentityLines({.uid = 1000, .gid = 100, .capabilities = 1, .seccomp = std::string(16, '\0')}),
      ElementsAre("keep-bounding-capabilities a=0x1", "load-seccomp 2 instructions",
                  "set-identity a=0x3e8 b=0x64 0 groups", "set-capabilities a=0x1 b=0x0",
                  "exec sleep 9 (1 environment variables)"));
}

TEST(BuildContainerPlan, LoadsSeccompLastOfAllWithNoNewPrivs) {
  EXPECT_THAT(
      IdentityLines(
          {.uid = 1000, .capabilities = 1, .no_new_privs = true, .seccomp = std::string(16, '\0')}),
      ElementsAre("keep-bounding-capabilities a=0x1", "set-identity a=0x3e8 b=0x0 0 groups",
                  "set-capabilities a=0x1 b=0x0", "no-new-privileges",
                  "load-seccomp 2 instructions", "exec sleep 9 (1 environment variables)"));
}

TEST(BuildContainerPlan, LoadsNoSeccompWhenUnconfined) {
  EXPECT_THAT(IdentityLines({.no_new_privs = true}), Not(Contains(StartsWith("load-seccomp"))));
  EXPECT_THAT(IdentityLines({}), Not(Contains(StartsWith("load-seccomp"))));
}

TEST(BuildContainerPlan, GivesNoInheritableAndNoAmbientCapability) {
  ContainerSpec spec = MakeSpec();
  spec.identity.capabilities = ~uint64_t{0};
  for (const PlanStep& step : BuildContainerPlan(spec, kV2, {}).steps) {
    EXPECT_TRUE(step.op != Op::kSetCapabilities || step.b == 0);
  }
}

TEST(BuildContainerPlan, PacksGroupsAsIntegers) {
  ContainerSpec spec = MakeSpec();
  spec.identity.groups = {7, 0xfffffffe};
  for (const PlanStep& step : BuildContainerPlan(spec, kV2, {}).steps) {
    if (step.op != Op::kSetIdentity) continue;
    ASSERT_EQ(step.strings[0].size(), 8u);
    uint32_t groups[2];
    std::memcpy(groups, step.strings[0].data(), sizeof(groups));
    EXPECT_THAT(groups, ElementsAre(7u, 0xfffffffeu));
  }
}

TEST(BuildContainerPlan, WritesTheOomScoreOnlyIfOneIsAskedFor) {
  EXPECT_THAT(Only(Lines(MakeSpec()), {"write-proc"}), IsEmpty());
  ContainerSpec spec = MakeSpec();
  spec.identity.oom_score_adj = -997;
  const LaunchPlan plan = BuildContainerPlan(spec, kV2, {});
  EXPECT_THAT(Only(DescribePlan(plan), {"write-proc", "pivot-root"}),
              ElementsAre("write-proc self/oom_score_adj -997", "pivot-root"));
  EXPECT_EQ(StepOf(plan, Op::kWriteProc, "self/oom_score_adj").a, wire::kTolerateDenied);
}

std::vector<std::string> Binds(const ContainerSpec& spec, const PlanFds& fds = {}) {
  return Only(Lines(spec, kV2, fds), {"bind"});
}

TEST(BuildContainerPlan, BindsOuterVolumesBeforeInnerOnesAndKeepsTheOrderOfEquals) {
  ContainerSpec spec = MakeSpec();
  spec.volumes = {{.target = "/a/b/c", .fd_index = 0},
                  {.target = "/b", .fd_index = 1},
                  {.target = "/a/b", .fd_index = 2},
                  {.target = "/a", .fd_index = 3}};
  std::vector<std::string> targets = Binds(spec);
  targets.erase(targets.begin(), targets.begin() + 4);  // /dev/shm and the pod's three files
  EXPECT_THAT(targets, ElementsAre("bind a=0x1 c=0x0 /b", "bind a=0x3 c=0x0 /a",
                                   "bind a=0x2 c=0x0 /a/b", "bind a=0x0 c=0x0 /a/b/c"));
}

TEST(BuildContainerPlan, NamesVolumeDescriptorsBehindThoseOfTheCgroup) {
  ContainerSpec spec = MakeSpec();
  spec.volumes = {{.target = "/v", .fd_index = 1, .readonly = true, .is_directory = false}};
  const LaunchPlan plan = BuildContainerPlan(spec, kV2, {.cgroup_tasks = 11, .volumes = 2});
  const PlanStep& bind = StepOf(plan, Op::kBind, "/v");
  EXPECT_EQ(bind.a, 12);
  EXPECT_EQ(bind.b, wire::kFile);
  EXPECT_EQ(bind.c, kReadOnly);
}

TEST(BuildContainerPlan, AVolumeReplacesThePodsFileOfItsName) {
  ContainerSpec spec = MakeSpec();
  spec.volumes = {{.target = "/etc/hosts", .is_directory = false},
                  {.target = "/dev/shm", .fd_index = 1}};
  EXPECT_THAT(Binds(spec), ElementsAre("bind a=-1 c=0x0 /etc/hostname /data/pods/p/hostname",
                                       "bind a=-1 c=0x0 /etc/resolv.conf /data/pods/p/resolv.conf",
                                       "bind a=0x0 c=0x0 /etc/hosts", "bind a=0x1 c=0x0 /dev/shm"));
}

TEST(BuildExecPlan, JoinsCgroupThenContainerThenBecomesTheUser) {
  const LaunchPlan plan =
      BuildExecPlan({.args = {"id"},
                     .env = {"A=b"},
                     .cwd = "/w",
                     .identity = {.uid = 5, .capabilities = 2, .oom_score_adj = 0}},
                    2);
  EXPECT_THAT(DescribePlan(plan),
              ElementsAre("join-cgroup a=0x0", "join-cgroup a=0x1", "join-container", "new-session",
                          "stdio a=-1 b=0x2 c=0x3", "write-proc self/oom_score_adj 0", "chdir /w",
                          "keep-bounding-capabilities a=0x2", "set-identity a=0x5 b=0x0 0 groups",
                          "set-capabilities a=0x2 b=0x0", "exec id (1 environment variables)"));
}

// One function makes both: an exec may never do what the container's first process may not.
TEST(BuildExecPlan, BecomesTheSameIdentityAsTheContainer) {
  const ProcessIdentity identity = {.uid = 1000,
                                    .gid = 100,
                                    .groups = {5},
                                    .capabilities = 0x400,
                                    .no_new_privs = true,
                                    .seccomp = std::string(8, '\0')};
  ContainerSpec spec = MakeSpec();
  spec.identity = identity;
  const auto tail = [](const LaunchPlan& plan) {
    std::vector<std::string> lines = DescribePlan(plan);
    return std::vector<std::string>(lines.end() - 6, lines.end() - 1);
  };
  const std::vector<std::string> container = tail(BuildContainerPlan(spec, kV2, {}));
  EXPECT_EQ(container[0], "keep-bounding-capabilities a=0x400");
  EXPECT_THAT(tail(BuildExecPlan({.args = {"id"}, .identity = identity}, 0)),
              ElementsAreArray(container));
}

struct PodCase {
  const char* name;
  NamespaceMode network, ipc;
  std::string unshare, shm;
  bool hostname;
};

class BuildPodPlanTest : public testing::TestWithParam<PodCase> {};

TEST_P(BuildPodPlanTest, MakesTheNamespacesThatAreThePods) {
  const PodCase& param = GetParam();
  const std::vector<std::string> lines = DescribePlan(
      BuildPodPlan({.network = param.network, .ipc = param.ipc, .hostname = "web"}, 0));
  EXPECT_EQ(lines[0], "unshare a=" + param.unshare);
  EXPECT_EQ(lines[1], "private-mounts");
  EXPECT_EQ(lines.back(), param.shm);
  const bool own_network = param.network == NamespaceMode::kPod;
  EXPECT_EQ(Only(lines, {"set-hostname web"}).size(), own_network ? 1u : 0u);
  // The node's own sysctls are never written.
  EXPECT_EQ(Only(lines, {"write-proc"}).empty(), !own_network);
  EXPECT_THAT(Only(lines, {"write-proc"}), Each(StartsWith("write-proc sys/net/")));
}

// 0x20000 mount, 0x4000000 UTS, 0x8000000 IPC, 0x40000000 network
INSTANTIATE_TEST_SUITE_P(
    Modes, BuildPodPlanTest,
    testing::Values(PodCase{"OwnNetworkOwnIpc", NamespaceMode::kPod, NamespaceMode::kPod,
                            "0x4c020000", "mount a=0xe tmpfs /shm mode=1777,size=65536k"},
                    PodCase{"OwnNetworkNodeIpc", NamespaceMode::kPod, NamespaceMode::kNode,
                            "0x44020000", "bind a=0x0 c=0x0 /shm"},
                    PodCase{"NodeNetworkOwnIpc", NamespaceMode::kNode, NamespaceMode::kPod,
                            "0x8020000", "mount a=0xe tmpfs /shm mode=1777,size=65536k"},
                    PodCase{"NodeNetworkNodeIpc", NamespaceMode::kNode, NamespaceMode::kNode,
                            "0x20000", "bind a=0x0 c=0x0 /shm"}),
    [](const auto& info) { return info.param.name; });

TEST(BuildPodPlan, KeepsTheNodesHostnameWithoutOneOfItsOwn) {
  EXPECT_THAT(Only(DescribePlan(BuildPodPlan({}, 0)), {"set-hostname"}), IsEmpty());
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

}  // namespace
}  // namespace berth
