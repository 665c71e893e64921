#include "src/runtime/oci_spec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "src/runtime/plan_cases.h"

namespace berth {
namespace {

using nlohmann::json;
using ::testing::Contains;
using ::testing::HasSubstr;

OciContext Complete(const PlanCase& one) {
  OciContext context = one.oci;
  context.data_dir = "/var/lib/berth";
  context.namespaces = {{"ipc", "/proc/7/ns/ipc"},
                        {"network", "/proc/7/ns/net"},
                        {"pid", ""},
                        {"uts", "/proc/7/ns/uts"}};
  if (!one.spec.namespaces.user.IsNode()) context.namespaces["user"] = "/proc/7/ns/user";
  return context;
}

std::vector<PlanCase> AllCases() {
  std::vector<PlanCase> cases = AllPlanCases();
  PlanCase resources{.name = "resources", .spec = PlainSpec()};
  resources.oci.limits = {.memory_bytes = 1 << 20,
                          .memory_swap_bytes = 2 << 20,
                          .cpu_shares = 512,
                          .cpu_quota_us = -1,
                          .cpu_period_us = 100000,
                          .pids = 99,
                          .cpuset_cpus = "0-1",
                          .cpuset_mems = "0",
                          .hugepages = {{"2MB", 0}},
                          .unified = {{"memory.oom.group", "1"}}};
  cases.push_back(resources);
  PlanCase labelled{.name = "labels_and_seccomp", .spec = PlainSpec()};
  labelled.oci.annotations = {{"org.example.key", "value"}};
  labelled.oci.seccomp_json = R"({"defaultAction": "SCMP_ACT_ERRNO"})";
  cases.push_back(labelled);
  MountSpec volume = Volume("/v", 0);
  volume.idmapped = true;
  volume.propagation = Propagation::kShared;
  const MountSpec image = {.kind = MountSpec::Kind::kImage, .target = "/i", .layers = {"layers/9"}};
  PlanCase handler{.name = "runtime_handler", .spec = UserNamespaceSpec({volume, image})};
  handler.spec.host_view = HostView{.bundle = "/run/berth/c"};
  handler.oci.bundle = "/run/berth/c";
  cases.push_back(handler);
  return cases;
}

class OciSpecGoldenTest : public testing::TestWithParam<PlanCase> {};

TEST_P(OciSpecGoldenTest, IsTheExpectedJson) {
  const PlanCase& one = GetParam();
  const std::string text = OciSpecJson(one.spec, Complete(one)) + "\n";
  EXPECT_EQ(text, Goldens("oci").Expected(one.name + ".json", text));
}

INSTANTIATE_TEST_SUITE_P(Fields, OciSpecGoldenTest, testing::ValuesIn(AllCases()),
                         [](const auto& info) { return info.param.name; });

TEST(OciGoldens, AreAllOfSomeField) {
  std::set<std::string> expected;
  for (const PlanCase& one : AllCases()) expected.insert(one.name + ".json");
  EXPECT_EQ(Goldens("oci").Files(), expected);
}

json Parsed(const ContainerSpec& spec, const OciContext& context = {}) {
  return json::parse(OciSpecJson(spec, context));
}

// A profile that was lost must not become a container without one.
TEST(OciSpecJson, KeepsAProfileThatIsNoJsonAsAStringThatNoRuntimeTakes) {
  EXPECT_TRUE(Parsed(PlainSpec(), {.seccomp_json = "{oops"})["linux"]["seccomp"].is_string());
}

TEST(OciSpecJson, ReplacesBytesThatJsonCannotHold) {
  ContainerSpec spec = PlainSpec();
  spec.env = {"A=\xff"};
  EXPECT_EQ(Parsed(spec)["process"]["env"][0], "A=\xef\xbf\xbd");
}

// The plan attaches every source below the bundle, by descriptor: the runtime resolves no path that
// a tenant may change meanwhile.
TEST(OciSpecJson, NamesTheSourcesThatTheCreatePlanAttaches) {
  ContainerSpec spec = UserNamespaceSpec({Volume("/v", 0)});
  spec.host_view = HostView{.bundle = "/b"};
  const PlanFds fds = {.volumes = 1, .user_namespace = true, .host_mounts = true};
  std::set<std::string> attached;
  for (const PlanStep& step :
       BuildOciCreatePlan(spec, {.cgroup_v2 = true}, fds, {.path = "/r", .root = "/x"}, "c")
           .steps) {
    if (step.op == wire::Op::kBind) attached.insert(step.strings[0]);
  }
  std::set<std::string> sources;
  const json config = Parsed(spec, {.bundle = "/b"});
  for (const json& mount : config["mounts"]) {
    if (mount["type"] == "bind") sources.insert(mount["source"]);
  }
  EXPECT_FALSE(sources.empty());
  EXPECT_EQ(attached, sources);
}

TEST(OciSpecJson, ShowsAMappedVolumeWithTheMappingOfThePod) {
  MountSpec volume = Volume("/v", 0);
  volume.idmapped = true;
  const json config = Parsed(UserNamespaceSpec({volume}), {.data_dir = "/d"});
  const json& mounts = config["mounts"];
  const auto found = std::find_if(mounts.begin(), mounts.end(),
                                  [](const json& mount) { return mount["destination"] == "/v"; });
  ASSERT_NE(found, mounts.end());
  EXPECT_EQ((*found)["source"], "/host/volume");
  EXPECT_EQ((*found)["uidMappings"][0]["hostID"], 65536);
}

TEST(OciSpecJson, DeniesDevicesFirstAndPutsTheContainersOwnRulesLast) {
  const json config = Parsed(
      PlainSpec(), {.device_rules = {{.type = 'c', .major = 10, .minor = 229, .access = "rw"}}});
  const json& rules = config["linux"]["resources"]["devices"];
  EXPECT_EQ(rules.front(), (json{{"allow", false}, {"access", "rwm"}}));
  EXPECT_EQ(
      rules.back(),
      (json{{"allow", true}, {"type", "c"}, {"major", 10}, {"minor", 229}, {"access", "rw"}}));
}

TEST(OciSpecJson, JoinsThePodsNamespacesAndMakesItsOwnMountsAndCgroupView) {
  const json config =
      Parsed(PlainSpec(), {.namespaces = {{"network", "/proc/7/ns/net"}, {"pid", ""}}});
  EXPECT_EQ(config["linux"]["namespaces"],
            (json::array({{{"type", "network"}, {"path", "/proc/7/ns/net"}},
                          {{"type", "pid"}},
                          {{"type", "mount"}},
                          {{"type", "cgroup"}}})));
}

}  // namespace
}  // namespace berth
