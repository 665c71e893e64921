#include "src/runtime/standard_mounts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/mount.h>

namespace berth {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::Not;

std::vector<std::string> Targets(const std::vector<MountSpec>& mounts) {
  std::vector<std::string> targets;
  for (const MountSpec& mount : mounts) targets.push_back(mount.target);
  return targets;
}

MountSpec To(const std::string& target) {
  return {.kind = MountSpec::Kind::kBind, .target = target, .source = "/s", .fd_index = 0};
}

const MountSpec& At(const std::vector<MountSpec>& mounts, const std::string& target) {
  static const MountSpec kNone;
  for (const MountSpec& mount : mounts) {
    if (mount.target == target) return mount;
  }
  ADD_FAILURE() << "nothing at " << target;
  return kNone;
}

TEST(StandardMounts, AreThoseOfEveryContainer) {
  EXPECT_THAT(Targets(StandardMounts({.pod_dir = "pods/p"})),
              ElementsAre("/proc", "/dev", "/dev/pts", "/dev/mqueue", "/sys", "/dev/shm",
                          "/sys/fs/cgroup", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf"));
}

TEST(StandardMounts, LetOnlyPrivilegedContainersWriteToSysfsAndCgroups) {
  for (const bool privileged : {false, true}) {
    const std::vector<MountSpec> mounts = StandardMounts({.privileged = privileged});
    for (const char* target : {"/sys", "/sys/fs/cgroup"}) {
      EXPECT_EQ((At(mounts, target).attributes & MOUNT_ATTR_RDONLY) == 0, privileged) << target;
      EXPECT_NE(At(mounts, target).attributes & MOUNT_ATTR_NOSUID, 0u) << target;
    }
  }
}

TEST(StandardMounts, TakeTheNodesSysfsReadOnlyWhereANewOneCannotBeMade) {
  const MountSpec sysfs = At(
      StandardMounts({.privileged = true, .user_namespace = true, .host_network = true}), "/sys");
  EXPECT_EQ(sysfs.kind, MountSpec::Kind::kBind);
  EXPECT_EQ(sysfs.view_path, "/sys");
  EXPECT_TRUE(sysfs.recursive_attributes);
  EXPECT_NE(sysfs.attributes & MOUNT_ATTR_RDONLY, 0u);
  EXPECT_EQ(At(StandardMounts({.host_network = true}), "/sys").kind, MountSpec::Kind::kFileSystem);
}

TEST(StandardMounts, GiveTerminalsToTheTtyGroupOnlyIfItIsMapped) {
  EXPECT_THAT(At(StandardMounts({}), "/dev/pts").options, Contains("gid=5"));
  EXPECT_THAT(At(StandardMounts({.tty_group_mapped = false}), "/dev/pts").options,
              Not(Contains("gid=5")));
}

TEST(StandardMounts, MakeThePodsFilesReadOnlyWithTheRoot) {
  for (const bool readonly : {false, true}) {
    const std::vector<MountSpec> mounts =
        StandardMounts({.readonly_files = readonly, .pod_dir = "pods/p"});
    for (const char* file : {"hosts", "hostname", "resolv.conf"}) {
      const MountSpec& mount = At(mounts, std::string("/etc/") + file);
      EXPECT_EQ(mount.view_path, std::string("/data/pods/p/") + file);
      EXPECT_EQ(mount.attributes, readonly ? uint64_t{MOUNT_ATTR_RDONLY} : 0u);
      EXPECT_FALSE(mount.is_directory);
    }
    EXPECT_EQ(At(mounts, "/dev/shm").attributes, 0u);
  }
}

TEST(StandardDevices, AreBindsInAUserNamespace) {
  for (const DeviceSpec& device : StandardDevices(true)) EXPECT_EQ(device.view_path, device.path);
  for (const DeviceSpec& device : StandardDevices(false)) EXPECT_EQ(device.view_path, "");
  EXPECT_EQ(StandardDevices(true).size(), 6u);
}

TEST(MergeMounts, PutsAMountBeforeThoseInsideOfItAndStandardOnesFirst) {
  EXPECT_THAT(Targets(MergeMounts({To("/b"), To("/b/c")}, {To("/a/b/c"), To("/z"), To("/a")})),
              ElementsAre("/b", "/z", "/a", "/b/c", "/a/b/c"));
}

TEST(MergeMounts, LetsARequestTakeTheStandardOnesPlace) {
  const std::vector<MountSpec> mounts =
      MergeMounts(StandardMounts({.pod_dir = "p"}), {To("/etc/hosts"), To("/dev/shm")});
  EXPECT_EQ(mounts.size(), StandardMounts({}).size());
  EXPECT_EQ(At(mounts, "/etc/hosts").source, "/s");
  EXPECT_EQ(At(mounts, "/dev/shm").source, "/s");
}

TEST(MergeMounts, DropsNothingForARequestElsewhere) {
  for (const char* target : {"/v", "/device", "/dev/shm/x", "/system"}) {
    EXPECT_EQ(MergeMounts(StandardMounts({}), {To(target)}).size(), StandardMounts({}).size() + 1)
        << target;
  }
}

TEST(MergeMounts, DropsAllStandardOnesBelowARequestedDevOrSys) {
  EXPECT_THAT(
      Targets(MergeMounts(StandardMounts({}), {To("/dev"), To("/sys")})),
      ElementsAre("/proc", "/dev", "/sys", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf"));
}

TEST(MergeMounts, KeepsRequestsBelowARequestedDev) {
  EXPECT_THAT(Targets(MergeMounts(StandardMounts({}), {To("/dev/shm"), To("/dev")})),
              Contains("/dev/shm"));
}

TEST(MapsId, KnowsTheBordersOfEachRange) {
  const std::vector<IdMapping> mappings = {{.container_id = 0, .host_id = 9, .length = 5},
                                           {.container_id = 10, .host_id = 90, .length = 1}};
  EXPECT_TRUE(MapsId(mappings, 0));
  EXPECT_TRUE(MapsId(mappings, 4));
  EXPECT_FALSE(MapsId(mappings, 5));
  EXPECT_TRUE(MapsId(mappings, 10));
  EXPECT_FALSE(MapsId(mappings, 11));
  EXPECT_FALSE(MapsId({}, 0));
}

TEST(IsAtOrBelow, ComparesWholeNames) {
  EXPECT_TRUE(IsAtOrBelow("/dev", "/dev"));
  EXPECT_TRUE(IsAtOrBelow("/dev/a", "/dev"));
  EXPECT_FALSE(IsAtOrBelow("/device", "/dev"));
  EXPECT_FALSE(IsAtOrBelow("/", "/dev"));
  EXPECT_TRUE(IsAtOrBelow("/x", "/"));
}

}  // namespace
}  // namespace berth
