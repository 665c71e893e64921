// Devices of a container: nodes, permissions enforced by the device cgroup, directories of devices.
#include <gmock/gmock.h>

#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "test/e2e/probed.h"
#include "test/e2e/volume.h"

namespace berth::e2e {
namespace {

using ::testing::HasSubstr;

// Nodes below NodeDir(), which must not be on a file system mounted nodev.
class DeviceTest : public ProbedTest {
 protected:
  // The control device of loop devices (10:237): every kernel of the tests has it, root may open
  // it, opening does nothing, and no container has it by default.
  static std::string MakeNode(const HostDir& dir, const std::string& name, mode_t mode = 0640) {
    const std::string path = dir / name;
    EXPECT_EQ(mknod(path.c_str(), S_IFCHR | mode, makedev(10, 237)), 0) << path;
    EXPECT_EQ(chmod(path.c_str(), mode), 0);
    return path;
  }
};

TEST_F(DeviceTest, NodeHasTheNumbersModeAndOwnerOfTheNodes) {
  HostDir dir(Name("-devices"));
  const std::string path = MakeNode(dir, "loop", 0623);
  ASSERT_EQ(chown(path.c_str(), 0, 2000), 0);
  cri::ContainerConfig config = MakeKubeletProbe("c", {"devices", "/dev/own/loop"});
  AddDevice(config, path, "rwm")->set_container_path("/dev/own/loop");
  const Json device = Report(config)["/dev/own/loop"];
  EXPECT_EQ(device["type"], "char");
  EXPECT_EQ(device["rdev"], "10:237");
  EXPECT_EQ(device["mode"], 0623);
  EXPECT_EQ(device["uid"], 0);
  EXPECT_EQ(device["gid"], 2000);
}

TEST_F(DeviceTest, PermissionsAreEnforced) {
  HostDir dir(Name("-devices"));
  const std::string path = MakeNode(dir, "loop", 0666);
  struct {
    const char *permissions, *read, *write;
  } cases[] = {{"r", "ok", "EPERM"}, {"w", "EPERM", "ok"}, {"rw", "ok", "ok"}, {"rwm", "ok", "ok"}};
  for (const auto& c : cases) {
    cri::ContainerConfig config = MakeKubeletProbe("c", {"devices", "/dev/loop"});
    AddDevice(config, path, c.permissions)->set_container_path("/dev/loop");
    const Json device = Report(config)["/dev/loop"];
    EXPECT_EQ(device["read"], c.read) << c.permissions;
    EXPECT_EQ(device["write"], c.write) << c.permissions;
  }
}

TEST_F(DeviceTest, OthersAreDeniedEvenWhenTheirNodeIsMade) {
  cri::ContainerConfig config = MakeKubeletProbe("c", {"devices", "/vol/loop"});
  HostDir dir(Name("-devices"));
  MakeNode(dir, "loop", 0666);
  AddMount(config, "/vol", dir.path());
  const Json device = Report(config)["/vol/loop"];
  EXPECT_EQ(device["type"], "char");
  EXPECT_EQ(device["read"], "EPERM");
  EXPECT_EQ(device["make"], "ok") << "making nodes is harmless";
}

TEST_F(DeviceTest, ExecIsUnderTheSameRules) {
  HostDir dir(Name("-devices"));
  MakeNode(dir, "loop", 0666);
  cri::ContainerConfig config = MakeKubeletProbe("c", {"sleep"});
  AddMount(config, "/vol", dir.path());
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), MakeKubeletPodConfig(Name())));
  ASSERT_OK_AND_ASSIGN(const std::string id, pod.RunContainer(config));
  ASSERT_OK_AND_ASSIGN(const Json device,
                       pod.ExecForJson(id, {"devices", "/vol/loop", "/dev/null"}));
  EXPECT_EQ(device["/vol/loop"]["read"], "EPERM");
  EXPECT_EQ(device["/dev/null"]["write"], "ok");
}

TEST_F(DeviceTest, StandardDevicesStayUsableBesideThem) {
  HostDir dir(Name("-devices"));
  cri::ContainerConfig config =
      MakeKubeletProbe("c", {"devices", "/dev/null", "/dev/zero", "/dev/random", "/dev/loop"});
  AddDevice(config, MakeNode(dir, "loop"), "r")->set_container_path("/dev/loop");
  const Json devices = Report(config);
  for (const char* path : {"/dev/null", "/dev/zero", "/dev/random"}) {
    EXPECT_EQ(devices[path]["read"], "ok") << path;
    EXPECT_EQ(devices[path]["write"], "ok") << path;
  }
}

TEST_F(DeviceTest, DirectoryGivesEveryDeviceBelow) {
  HostDir dir(Name("-devices"));
  dir.MakeDir("sub/pts");
  MakeNode(dir, "one");
  MakeNode(dir, "sub/two");
  MakeNode(dir, "sub/pts/three");
  dir.Write("file", "no device");
  cri::ContainerConfig config = MakeKubeletProbe(
      "c",
      {"devices", "/dev/all/one", "/dev/all/sub/two", "/dev/all/sub/pts/three", "/dev/all/file"});
  AddDevice(config, dir.path(), "rw")->set_container_path("/dev/all");
  const Json devices = Report(config);
  EXPECT_EQ(devices["/dev/all/one"]["read"], "ok");
  EXPECT_EQ(devices["/dev/all/sub/two"]["read"], "ok");
  EXPECT_EQ(devices["/dev/all/sub/pts/three"]["type"], "ENOENT");
  EXPECT_EQ(devices["/dev/all/file"]["type"], "ENOENT");
}

TEST_F(DeviceTest, LinkOnTheNodeIsResolved) {
  HostDir dir(Name("-devices"));
  MakeNode(dir, "loop");
  ASSERT_EQ(symlink("loop", (dir / "link").c_str()), 0);
  cri::ContainerConfig config = MakeKubeletProbe("c", {"devices", "/dev/by-link"});
  AddDevice(config, dir / "link", "r")->set_container_path("/dev/by-link");
  EXPECT_EQ(Report(config)["/dev/by-link"]["rdev"], "10:237");
}

TEST_F(DeviceTest, WhatIsNoDeviceIsRefused) {
  HostDir dir(Name("-devices"));
  dir.Write("file", "text");
  ASSERT_EQ(mkfifo((dir / "fifo").c_str(), 0600), 0);
  for (const char* name : {"file", "fifo", "absent"}) {
    cri::ContainerConfig config = MakeKubeletProbe("c", {"report"});
    AddDevice(config, dir / name, "rwm")->set_container_path("/dev/x");
    const absl::Status refusal = Refusal(config);
    EXPECT_FALSE(refusal.ok()) << name;
    EXPECT_THAT(std::string(refusal.message()), HasSubstr(dir / name));
  }
}

TEST_F(DeviceTest, BadRequestsAreRefused) {
  struct {
    const char *host, *container, *permissions;
  } cases[] = {{"/dev/null", "/dev/x", "rwx"},
               {"/dev/null", "/dev/x", "rr"},
               {"dev/null", "/dev/x", "r"},
               {"/dev/null", "dev/x", "r"},
               {"/dev/null", "/dev/../etc/x", "r"},
               {"/dev/null", "/proc/x", "r"},
               {"", "/dev/x", "r"}};
  for (const auto& c : cases) {
    cri::ContainerConfig config = MakeKubeletProbe("c", {"report"});
    AddDevice(config, c.host, c.permissions)->set_container_path(c.container);
    EXPECT_FALSE(Refusal(config).ok()) << c.host << " " << c.container << " " << c.permissions;
  }
}

}  // namespace
}  // namespace berth::e2e
