#include "src/sandbox/container_adjustment.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

namespace berth {
namespace {

using ::testing::ElementsAre;

TEST(ContainerAdjustmentTest, VariablesAreRemovedReplacedAndAdded) {
  ContainerAdjustment adjustment;
  adjustment.removed_env = {"GONE", "AGAIN"};
  adjustment.edits.env = {"PATH=/x", "AGAIN=2", "NEW=3"};
  std::vector<std::string> env = {"PATH=/bin", "GONE=1", "GONER=1", "AGAIN=1"};
  AdjustEnvironment(adjustment, &env);
  EXPECT_THAT(env, ElementsAre("PATH=/x", "GONER=1", "AGAIN=2", "NEW=3"));
}

TEST(ContainerAdjustmentTest, ALimitTakesThePlaceOfTheOneOfItsResource) {
  ContainerAdjustment adjustment;
  adjustment.rlimits = {{.resource = RLIMIT_NOFILE, .soft = 1, .hard = 2}};
  adjustment.oom_score_adj = 7;
  ProcessIdentity identity;
  identity.rlimits = {{.resource = RLIMIT_CORE, .soft = 0, .hard = 0},
                      {.resource = RLIMIT_NOFILE, .soft = 9, .hard = 9}};
  AdjustIdentity(adjustment, &identity);
  ASSERT_EQ(identity.rlimits.size(), 2U);
  EXPECT_EQ(identity.rlimits[0].resource, RLIMIT_CORE);
  EXPECT_EQ(identity.rlimits[1].hard, 2U);
  EXPECT_EQ(identity.oom_score_adj, 7);
}

TEST(ContainerAdjustmentTest, MountsAndDevicesAreTakenAwayAndPut) {
  ContainerSpec spec;
  spec.args = {"sh"};
  spec.mounts = {{.target = "/a"}, {.target = "/b"}};
  spec.devices = {{.path = "/dev/old", .major = 1, .minor = 2}, {.path = "/dev/null"}};
  ContainerAdjustment adjustment;
  adjustment.args = {{"other", "arg"}};
  adjustment.removed_mounts = {"/a"};
  adjustment.removed_devices = {"/dev/old"};
  adjustment.edits.mounts = {{.host_path = "/srv", .container_path = "/c", .options = {"ro"}}};
  adjustment.edits.device_nodes = {
      {.path = "/dev/new", .type = 'c', .major = 3, .minor = 4, .access = "rwm"}};
  const auto rules = AdjustSpec(adjustment, {}, &spec);
  ASSERT_TRUE(rules.ok()) << rules.status();
  EXPECT_THAT(spec.args, ElementsAre("other", "arg"));
  ASSERT_EQ(spec.mounts.size(), 2U);
  EXPECT_EQ(spec.mounts[0].target, "/b");
  EXPECT_EQ(spec.mounts[1].target, "/c");
  EXPECT_EQ(spec.mounts[1].source, "/srv");
  ASSERT_EQ(spec.devices.size(), 2U);
  EXPECT_EQ(spec.devices[0].path, "/dev/null");
  EXPECT_EQ(spec.devices[1].path, "/dev/new");
  // A node that is gone is not to be made again by who may make nodes.
  ASSERT_EQ(rules->size(), 2U);
  EXPECT_FALSE((*rules)[0].allow);
  EXPECT_EQ((*rules)[0].major, 1U);
  EXPECT_TRUE((*rules)[1].allow);
  EXPECT_EQ((*rules)[1].minor, 4U);
}

}  // namespace
}  // namespace berth
