// Whole plans as text, one file for each field (testdata/plans): a change of what a container's
// making does shows there.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "src/runtime/plan_cases.h"

namespace berth {
namespace {

const NodeFacts kV1 = {.unified = true,
                       .v1_hierarchies = {"cpu,cpuacct", "memory", "name=systemd"},
                       .data_dir = "/var/lib/berth"};
const NodeFacts kV2 = {
    .cgroup_v2 = true, .unified_options = "nsdelegate", .data_dir = "/var/lib/berth"};

struct TextCase {
  std::string name, text;
};

std::string TextOf(const LaunchPlan& plan) {
  return absl::StrJoin(DescribePlan(plan), "\n") + "\n";
}

std::string OnBoth(const PlanCase& one) {
  return absl::StrCat("# cgroup v1\n", TextOf(BuildContainerPlan(one.spec, kV1, one.fds)),
                      "# cgroup v2\n", TextOf(BuildContainerPlan(one.spec, kV2, one.fds)));
}

UserNamespace Mapped() {
  return {.uids = {{.host_id = 65536, .length = 65536}},
          .gids = {{.host_id = 131072, .length = 1000}}};
}

std::vector<TextCase> PodCases() {
  const auto text = [](const PodSpec& spec) { return TextOf(BuildPodPlan(spec, 0)); };
  return {{"pod", text({})},
          {"pod_hostname", text({.hostname = "web"})},
          {"pod_sysctls", text({.sysctls = {{"net.ipv4.ip_unprivileged_port_start", "1024"},
                                            {"kernel.shm_rmid_forced", "1"},
                                            {"net/ipv4/conf/eth0.1/forwarding", "1"}}})},
          {"pod_network_node", text({.network = NamespaceMode::kNode, .hostname = "web"})},
          {"pod_ipc_node", text({.ipc = NamespaceMode::kNode})},
          {"pod_userns_options",
           text({.hostname = "web",
                 .sysctls = {{"kernel.shm_rmid_forced", "1"}, {"net.core.somaxconn", "9"}},
                 .user = Mapped()})},
          {"pod_userns_options_with_network_and_ipc_node",
           text({.network = NamespaceMode::kNode, .ipc = NamespaceMode::kNode, .user = Mapped()})}};
}

std::vector<TextCase> ExecCases() {
  ExecSpec spec{.args = {"id"}, .env = {"A=b"}, .cwd = "/w"};
  spec.identity.caps = {.bounding = 2, .permitted = 2, .effective = 2};
  spec.identity.oom_score_adj = 0;
  spec.identity.rlimits = {{.resource = RLIMIT_NOFILE, .soft = 10, .hard = 4096}};
  std::vector<TextCase> cases = {{"exec", TextOf(BuildExecPlan(spec))}};
  spec.user_namespace = true;
  cases.push_back({"exec_userns_options", TextOf(BuildExecPlan(spec))});
  return cases;
}

std::vector<TextCase> CgroupViewCases() {
  const PlanFds fds = {.cgroup_tasks = 3, .volumes = 4, .first_cgroup_view = 1};
  const PlanFds late = {.volumes = 1, .late_cgroups = true};
  const ContainerSpec spec = WithMounts({Volume("/v", 0)});
  return {{"cgroup_views", TextOf(BuildContainerPlan(spec, kV1, fds))},
          {"late_cgroups", TextOf(BuildContainerPlan(spec, kV1, late))}};
}

std::vector<TextCase> RuntimeHandlerCases() {
  const OciRuntime runc = {.path = "/usr/sbin/runc", .root = "/run/berth/runc"};
  MountSpec volume = Volume("/v", 0);
  volume.propagation = Propagation::kSlave;
  const MountSpec image = {.kind = MountSpec::Kind::kImage, .target = "/i", .layers = {"layers/9"}};
  ContainerSpec spec = WithMounts({volume, image});
  spec.host_view = HostView{.bundle = "/run/berth/c"};
  const auto create = [&](const PlanFds& fds, const OciRuntime& runtime) {
    return TextOf(BuildOciCreatePlan(spec, kV2, fds, runtime, "c1"));
  };
  const PlanFds fds = {.volumes = 1, .host_mounts = true};
  std::vector<TextCase> cases = {{"runtime_handler", create(fds, runc)}};
  spec.terminal = true;
  cases.push_back({"runtime_handler_with_tty", create(fds, runc)});
  volume.idmapped = true;
  spec = UserNamespaceSpec({volume, image});
  spec.host_view = HostView{.bundle = "/run/berth/c"};
  cases.push_back(
      {"runtime_handler_with_userns_options",
       create({.volumes = 1, .user_namespace = true, .host_mounts = true},
              {.path = "/usr/bin/crun", .root = "/run/berth/crun", .systemd_cgroup = true})});
  cases.push_back(
      {"runtime_handler_command", TextOf(BuildOciCommandPlan(runc, {"kill", "c1", "15"}))});
  return cases;
}

std::vector<TextCase> AllTexts() {
  std::vector<TextCase> all;
  for (const PlanCase& one : AllPlanCases()) all.push_back({one.name, OnBoth(one)});
  for (auto* part : {PodCases, ExecCases, CgroupViewCases, RuntimeHandlerCases}) {
    for (TextCase& one : part()) all.push_back(std::move(one));
  }
  return all;
}

class PlanGoldenTest : public testing::TestWithParam<TextCase> {};

TEST_P(PlanGoldenTest, IsTheExpectedPlan) {
  const TextCase& one = GetParam();
  EXPECT_EQ(one.text, Goldens("plans").Expected(one.name + ".txt", one.text));
}

INSTANTIATE_TEST_SUITE_P(Fields, PlanGoldenTest, testing::ValuesIn(AllTexts()),
                         [](const auto& info) { return info.param.name; });

TEST(PlanGoldens, AreAllOfSomeField) {
  std::set<std::string> expected;
  for (const TextCase& one : AllTexts())
    EXPECT_TRUE(expected.insert(one.name + ".txt").second) << one.name << " is there twice";
  EXPECT_EQ(Goldens("plans").Files(), expected);
}

TEST(PlanGoldens, ShowADifferenceForEachField) {
  const std::string plain = OnBoth(AllPlanCases().front());
  for (const PlanCase& one : AllPlanCases()) {
    if (one.name == "default") continue;
    EXPECT_NE(OnBoth(one), plain) << one.name;
  }
}

}  // namespace
}  // namespace berth
