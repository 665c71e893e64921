#include "src/runtime/host_devices.h"

#include <gtest/gtest.h>

namespace berth {
namespace {

HostDevice Disk() {
  return {.path = "/dev/disks/sda",
          .relative = "sda",
          .type = 'b',
          .major = 8,
          .minor = 1,
          .mode = 0660,
          .uid = 0,
          .gid = 6};
}

TEST(ParseDeviceAccess, OrdersAndChecksPermissions) {
  EXPECT_EQ(*ParseDeviceAccess("mrw"), "rwm");
  EXPECT_EQ(*ParseDeviceAccess("mw"), "wm");
  for (const char* bad : {"", "x", "rr", "rwx", "r w", "RWM", "r\n"}) {
    EXPECT_EQ(ParseDeviceAccess(bad).status().code(), absl::StatusCode::kInvalidArgument) << bad;
  }
}

TEST(DeviceSpecOf, CopiesTheHostsNode) {
  HostDevice device = Disk();
  device.relative = "";
  const DeviceSpec spec = DeviceSpecOf(device, "/dev/xvda", false);
  EXPECT_EQ(spec.path, "/dev/xvda");
  EXPECT_EQ(spec.type, 'b');
  EXPECT_EQ(spec.major, 8u);
  EXPECT_EQ(spec.minor, 1u);
  EXPECT_EQ(spec.mode, 0660u);
  EXPECT_EQ(spec.gid, 6u);
  EXPECT_EQ(spec.source, "");
}

TEST(DeviceSpecOf, PutsDevicesOfADirectoryBelowIt) {
  EXPECT_EQ(DeviceSpecOf(Disk(), "/dev/mine/", false).path, "/dev/mine/sda");
  EXPECT_EQ(DeviceSpecOf(Disk(), "/", false).path, "/sda");
}

TEST(DeviceSpecOf, BindsTheHostsNodeInAUserNamespace) {
  EXPECT_EQ(DeviceSpecOf(Disk(), "/dev/mine", true).source, "/dev/disks/sda");
}

TEST(DeviceRuleOf, AllowsTheDeviceItself) {
  const DeviceRule rule = DeviceRuleOf(Disk(), "rw");
  EXPECT_TRUE(rule.allow);
  EXPECT_EQ(rule.type, 'b');
  EXPECT_EQ(rule.major, 8u);
  EXPECT_EQ(rule.minor, 1u);
  EXPECT_EQ(rule.access, "rw");
}

TEST(PutDevice, ReplacesTheOneOfTheSamePath) {
  std::vector<DeviceSpec> devices = {{.path = "/dev/a", .major = 1}, {.path = "/dev/b"}};
  PutDevice({.path = "/dev/a", .major = 2}, &devices);
  PutDevice({.path = "/dev/c"}, &devices);
  ASSERT_EQ(devices.size(), 3u);
  EXPECT_EQ(devices[0].major, 2u);
  EXPECT_EQ(devices[2].path, "/dev/c");
}

TEST(DescribeHostDevices, AsksForAbsolutePaths) {
  EXPECT_EQ(DescribeHostDevices(-1, {"dev/null"}, absl::Seconds(1)).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(DescribeHostDevices(-1, {}, absl::Seconds(1))->empty());
}

}  // namespace
}  // namespace berth
