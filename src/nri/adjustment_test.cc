#include "src/nri/adjustment.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

namespace berth::nri {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;

void AddEnv(const std::string& key, const std::string& value, api::ContainerAdjustment* to) {
  api::KeyValue& variable = *to->add_env();
  variable.set_key(key);
  variable.set_value(value);
}

void AddMount(const std::string& destination, api::ContainerAdjustment* to) {
  api::Mount& mount = *to->add_mounts();
  mount.set_destination(destination);
  mount.set_source("/srv");
  mount.set_type("bind");
  mount.add_options("ro");
}

TEST(NriAdjustmentTest, WishesOfSeveralPluginsBecomeOne) {
  api::ContainerAdjustment first, second;
  AddEnv("A", "1", &first);
  (*first.mutable_annotations())["one"] = "1";
  first.mutable_linux()->mutable_resources()->mutable_memory()->mutable_limit()->set_value(1 << 30);
  first.add_cdi_devices()->set_name("vendor.com/gpu=0");
  AddEnv("B", "2", &second);
  AddMount("/data", &second);
  second.mutable_linux()->mutable_resources()->mutable_cpu()->set_cpus("0-1");
  second.add_cdi_devices()->set_name("vendor.com/gpu=1");
  second.mutable_hooks()->add_poststop()->set_path("/bin/true");
  AdjustmentMerge merge;
  ASSERT_TRUE(merge.Add("10-a", first).ok());
  ASSERT_TRUE(merge.Add("20-b", second).ok());
  const auto made = ToContainerAdjustment(merge.merged());
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_THAT(made->edits.env, ElementsAre("A=1", "B=2"));
  EXPECT_THAT(made->annotations, ElementsAre(Pair("one", "1")));
  EXPECT_THAT(made->cdi_devices, ElementsAre("vendor.com/gpu=0", "vendor.com/gpu=1"));
  ASSERT_EQ(made->edits.mounts.size(), 1U);
  EXPECT_EQ(made->edits.mounts[0].container_path, "/data");
  EXPECT_EQ(made->edits.mounts[0].host_path, "/srv");
  ASSERT_EQ(made->edits.hooks.poststop.size(), 1U);
  const auto limits = ToLimits(merge.merged().linux().resources());
  ASSERT_TRUE(limits.ok());
  EXPECT_EQ(limits->memory_bytes, 1 << 30);
  EXPECT_EQ(limits->cpuset_cpus, "0-1");
  const api::FieldOwners owners = merge.Owners();
  EXPECT_EQ(owners.simple().at(api::MemLimit), "10-a");
  EXPECT_EQ(owners.simple().at(api::CPUSetCPUs), "20-b");
  EXPECT_EQ(owners.compound().at(api::Env).owners().at("B"), "20-b");
}

struct Conflict {
  const char* name;
  void (*wish)(api::ContainerAdjustment&);
  const char* what;
};

class NriConflictTest : public ::testing::TestWithParam<Conflict> {};

TEST_P(NriConflictTest, TwoPluginsDoNotSetTheSame) {
  api::ContainerAdjustment wish;
  GetParam().wish(wish);
  AdjustmentMerge merge;
  ASSERT_TRUE(merge.Add("10-a", wish).ok());
  const absl::Status both = merge.Add("20-b", wish);
  EXPECT_TRUE(absl::IsAborted(both)) << both;
  EXPECT_THAT(both.message(), HasSubstr("10-a and 20-b both set"));
  EXPECT_THAT(both.message(), HasSubstr(GetParam().what));
}

INSTANTIATE_TEST_SUITE_P(
    Fields, NriConflictTest,
    ::testing::Values(
        Conflict{"Env", [](api::ContainerAdjustment& to) { AddEnv("A", "1", &to); }, "Env A"},
        Conflict{"Mount", [](api::ContainerAdjustment& to) { AddMount("/data", &to); },
                 "Mounts /data"},
        Conflict{"Annotation",
                 [](api::ContainerAdjustment& to) { (*to.mutable_annotations())["k"] = "v"; },
                 "Annotations k"},
        Conflict{"Args", [](api::ContainerAdjustment& to) { to.add_args("sh"); }, "Args"},
        Conflict{"Device",
                 [](api::ContainerAdjustment& to) {
                   api::LinuxDevice& device = *to.mutable_linux()->add_devices();
                   device.set_path("/dev/x");
                   device.set_type("c");
                 },
                 "Devices /dev/x"},
        Conflict{"OomScore",
                 [](api::ContainerAdjustment& to) {
                   to.mutable_linux()->mutable_oom_score_adj()->set_value(5);
                 },
                 "OomScoreAdj"},
        Conflict{"Unified",
                 [](api::ContainerAdjustment& to) {
                   (*to.mutable_linux()->mutable_resources()->mutable_unified())["memory.high"] =
                       "1";
                 },
                 "CgroupsUnified memory.high"}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(NriAdjustmentTest, WhoRemovesWhatAnotherSetMaySetIt) {
  api::ContainerAdjustment first, second;
  AddEnv("A", "1", &first);
  AddMount("/data", &first);
  first.add_args("first");
  AddEnv("-A", "", &second);
  AddEnv("A", "2", &second);
  AddMount("-/data", &second);
  second.add_args("");
  second.add_args("second");
  AdjustmentMerge merge;
  ASSERT_TRUE(merge.Add("10-a", first).ok());
  const absl::Status taken = merge.Add("20-b", second);
  ASSERT_TRUE(taken.ok()) << taken;
  const auto made = ToContainerAdjustment(merge.merged());
  ASSERT_TRUE(made.ok());
  EXPECT_THAT(made->edits.env, ElementsAre("A=2"));
  EXPECT_THAT(made->removed_env, ElementsAre("A"));
  EXPECT_THAT(made->edits.mounts, IsEmpty());
  EXPECT_THAT(made->removed_mounts, ElementsAre("/data"));
  EXPECT_EQ(made->args, (std::vector<std::string>{"second"}));
  EXPECT_EQ(merge.Owners().compound().at(api::Env).owners().at("A"), "20-b");
}

struct Refused {
  const char* name;
  void (*wish)(api::ContainerAdjustment&);
  const char* what;
};

class NriRefusedTest : public ::testing::TestWithParam<Refused> {};

TEST_P(NriRefusedTest, IsRefusedByPluginAndField) {
  api::ContainerAdjustment wish;
  GetParam().wish(wish);
  const absl::Status refused = AdjustmentMerge().Add("10-a", wish);
  EXPECT_FALSE(refused.ok());
  EXPECT_THAT(refused.message(), HasSubstr("10-a"));
  EXPECT_THAT(refused.message(), HasSubstr(GetParam().what));
}

#define LINUX to.mutable_linux()
#define RESOURCES LINUX->mutable_resources()
INSTANTIATE_TEST_SUITE_P(
    Fields, NriRefusedTest,
    ::testing::Values(
        Refused{"CgroupsPath", [](api::ContainerAdjustment& to) { LINUX->set_cgroups_path("/x"); },
                "linux.cgroups_path"},
        Refused{"IoPriority", [](api::ContainerAdjustment& to) { LINUX->mutable_io_priority(); },
                "linux.io_priority"},
        Refused{"Seccomp", [](api::ContainerAdjustment& to) { LINUX->mutable_seccomp_policy(); },
                "linux.seccomp_policy"},
        Refused{"Namespaces", [](api::ContainerAdjustment& to) { LINUX->add_namespaces(); },
                "linux.namespaces"},
        Refused{"Sysctl",
                [](api::ContainerAdjustment& to) { (*LINUX->mutable_sysctl())["a"] = "b"; },
                "linux.sysctl"},
        Refused{"NetDevices",
                [](api::ContainerAdjustment& to) { (*LINUX->mutable_net_devices())["eth1"]; },
                "linux.net_devices"},
        Refused{"Scheduler", [](api::ContainerAdjustment& to) { LINUX->mutable_scheduler(); },
                "linux.scheduler"},
        Refused{"Rdt", [](api::ContainerAdjustment& to) { LINUX->mutable_rdt(); }, "linux.rdt"},
        Refused{"MemoryPolicy",
                [](api::ContainerAdjustment& to) { LINUX->mutable_memory_policy(); },
                "linux.memory_policy"},
        Refused{"Reservation",
                [](api::ContainerAdjustment& to) {
                  RESOURCES->mutable_memory()->mutable_reservation()->set_value(1);
                },
                "memory.reservation"},
        Refused{
            "RdtClass",
            [](api::ContainerAdjustment& to) { RESOURCES->mutable_rdt_class()->set_value("gold"); },
            "rdt_class"},
        Refused{"RelativeMount", [](api::ContainerAdjustment& to) { AddMount("data", &to); },
                "data"},
        Refused{"EnvName", [](api::ContainerAdjustment& to) { AddEnv("A=B", "c", &to); }, "A=B"},
        Refused{"NoCommand", [](api::ContainerAdjustment& to) { to.add_args(""); }, "args"},
        Refused{"CdiName",
                [](api::ContainerAdjustment& to) { to.add_cdi_devices()->set_name("gpu"); }, "gpu"},
        Refused{"DeviceType",
                [](api::ContainerAdjustment& to) {
                  api::LinuxDevice& device = *LINUX->add_devices();
                  device.set_path("/dev/x");
                  device.set_type("q");
                },
                "/dev/x"},
        Refused{"RlimitName",
                [](api::ContainerAdjustment& to) { to.add_rlimits()->set_type("RLIMIT_X"); },
                "RLIMIT_X"},
        Refused{
            "OomScore",
            [](api::ContainerAdjustment& to) { LINUX->mutable_oom_score_adj()->set_value(2000); },
            "oom_score_adj"},
        Refused{"HookPath",
                [](api::ContainerAdjustment& to) {
                  to.mutable_hooks()->add_prestart()->set_path("hook");
                },
                "hook"}),
    [](const auto& info) { return std::string(info.param.name); });
#undef RESOURCES
#undef LINUX

TEST(NriAdjustmentTest, TheNextPluginSeesWhatTheOnesBeforeHaveChanged) {
  api::Container container;
  container.add_args("sh");
  container.add_env("A=0");
  container.add_env("B=0");
  container.add_mounts()->set_destination("/old");
  (*container.mutable_annotations())["gone"] = "x";
  api::ContainerAdjustment wish;
  AddEnv("A", "1", &wish);
  AddEnv("-B", "", &wish);
  AddMount("-/old", &wish);
  AddMount("/new", &wish);
  (*wish.mutable_annotations())["-gone"] = "";
  (*wish.mutable_annotations())["new"] = "y";
  wish.add_args("other");
  wish.mutable_linux()->mutable_resources()->mutable_pids()->set_limit(7);
  ShowAdjustment(wish, &container);
  EXPECT_THAT(container.args(), ElementsAre("other"));
  EXPECT_THAT(container.env(), ElementsAre("A=1"));
  ASSERT_EQ(container.mounts_size(), 1);
  EXPECT_EQ(container.mounts(0).destination(), "/new");
  EXPECT_THAT(container.annotations(), UnorderedElementsAre(Pair("new", "y")));
  EXPECT_EQ(container.linux().resources().pids().limit(), 7);
}

TEST(NriAdjustmentTest, IsReadAgainAsItWasStored) {
  api::ContainerAdjustment wish;
  AddEnv("A", "1", &wish);
  api::POSIXRlimit& limit = *wish.add_rlimits();
  limit.set_type("RLIMIT_NOFILE");
  limit.set_soft(10);
  limit.set_hard(20);
  wish.mutable_linux()->mutable_oom_score_adj()->set_value(-5);
  const auto read = ReadAdjustment(wish.SerializeAsString());
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_THAT(read->edits.env, ElementsAre("A=1"));
  ASSERT_EQ(read->rlimits.size(), 1U);
  EXPECT_EQ(read->rlimits[0].resource, RLIMIT_NOFILE);
  EXPECT_EQ(read->rlimits[0].hard, 20U);
  EXPECT_EQ(read->oom_score_adj, -5);
  EXPECT_TRUE(absl::IsDataLoss(ReadAdjustment("\xff\xff").status()));
}

TEST(NriAdjustmentTest, LimitsAndResourcesAreTheSame) {
  const CgroupLimits limits = {.memory_bytes = 1,
                               .memory_swap_bytes = 2,
                               .cpu_shares = 3,
                               .cpu_quota_us = -1,
                               .cpu_period_us = 5,
                               .pids = 6,
                               .io_weight = {},
                               .cpuset_cpus = "0",
                               .cpuset_mems = "1",
                               .hugepages = {{"2MB", 7}},
                               .unified = {{"memory.high", "8"}}};
  const auto again = ToLimits(ToResources(limits));
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(again->memory_bytes, 1);
  EXPECT_EQ(again->memory_swap_bytes, 2);
  EXPECT_EQ(again->cpu_shares, 3);
  EXPECT_EQ(again->cpu_quota_us, -1);
  EXPECT_EQ(again->cpu_period_us, 5);
  EXPECT_EQ(again->pids, 6);
  EXPECT_EQ(again->cpuset_cpus, "0");
  EXPECT_EQ(again->cpuset_mems, "1");
  EXPECT_THAT(again->hugepages, ElementsAre(Pair("2MB", 7)));
  EXPECT_THAT(again->unified, ElementsAre(Pair("memory.high", "8")));
}

}  // namespace
}  // namespace berth::nri
