// The steps of a plan that bind, mount and mask, against the kernel.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/mount.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <string>

#include "absl/strings/str_cat.h"
#include "src/base/status_macros.h"
#include "src/runtime/testing/monitor_fixture.h"
#include "src/runtime/volumes.h"

namespace berth {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using wire::Op;

class MountStepsTest : public MonitorTest {
 protected:
  void SetUp() override {
    MonitorTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    volume_ = root_ + "/volume";
    std::filesystem::create_directories(volume_ + "/below");
    StartMonitor();
  }
  void TearDown() override {
    umount2((volume_ + "/below").c_str(), MNT_DETACH);
    umount2(volume_.c_str(), MNT_DETACH);
    MonitorTest::TearDown();
  }
  void MountTmpfs(const std::string& path) {
    ASSERT_EQ(mount("test", path.c_str(), "tmpfs", 0, "size=64k"), 0) << path;
  }
  std::string RunWith(MountSpec mount, const std::string& script) {
    const absl::StatusOr<std::vector<OpenedVolume>> opened =
        OpenVolumes(executable_.get(), {{.path = volume_}}, kPatience);
    EXPECT_TRUE(opened.ok()) << opened.status();
    if (!opened.ok()) return "";
    Container& container = MakeContainer();
    ContainerSpec spec = MakeSpec(container, {"sh", "-c", script});
    mount.kind = MountSpec::Kind::kBind;
    mount.source = volume_;
    mount.fd_index = 0;
    spec.mounts.push_back(mount);
    return Run(container, spec, {.volumes = {(*opened)[0].tree.get()}});
  }
  // The plan of a container with `extra` before the pivot.
  LaunchPlan PlanWith(const Container& container, const ContainerSpec& spec,
                      const std::vector<PlanStep>& extra, Op before = Op::kPivotRoot) const {
    LaunchPlan plan = PlanOf(container, spec);
    const auto at = std::find_if(plan.steps.begin(), plan.steps.end(),
                                 [&](const PlanStep& step) { return step.op == before; });
    plan.steps.insert(at, extra.begin(), extra.end());
    return plan;
  }
  std::string volume_;
};

TEST_F(MountStepsTest, ReadOnlyAloneLeavesTheMountsBelowAsTheyAre) {
  MountTmpfs(volume_ + "/below");
  EXPECT_EQ(RunWith({.target = "/v", .attributes = MOUNT_ATTR_RDONLY},
                    "echo x 2>/dev/null >/v/f || echo top; echo x >/v/below/f && echo below"),
            "top\nbelow\n");
}

TEST_F(MountStepsTest, RecursiveReadOnlyReachesTheMountsBelow) {
  MountTmpfs(volume_ + "/below");
  EXPECT_EQ(RunWith({.target = "/v", .attributes = MOUNT_ATTR_RDONLY, .recursive_attributes = true},
                    "echo x 2>/dev/null >/v/f || echo top;"
                    "echo x 2>/dev/null >/v/below/f || echo below"),
            "top\nbelow\n");
}

TEST_F(MountStepsTest, PropagationIsWhatWasAskedFor) {
  MountTmpfs(volume_);
  std::filesystem::create_directories(volume_ + "/below");
  ASSERT_EQ(mount(nullptr, volume_.c_str(), nullptr, MS_SHARED, nullptr), 0);
  const std::string script = "grep ' /v ' /proc/self/mountinfo";
  EXPECT_THAT(RunWith({.target = "/v"}, script),
              AllOf(Not(HasSubstr("shared:")), Not(HasSubstr("master:"))));
  EXPECT_THAT(RunWith({.target = "/v", .propagation = Propagation::kSlave}, script),
              AllOf(Not(HasSubstr("shared:")), HasSubstr("master:")));
  EXPECT_THAT(RunWith({.target = "/v", .propagation = Propagation::kShared}, script),
              AllOf(HasSubstr("shared:"), Not(HasSubstr("master:"))));
}

TEST_F(MountStepsTest, OpenVolumesTellsThePropagationOfTheMount) {
  MountTmpfs(volume_);
  ASSERT_EQ(mount(nullptr, volume_.c_str(), nullptr, MS_PRIVATE, nullptr), 0);
  absl::StatusOr<std::vector<OpenedVolume>> opened =
      OpenVolumes(executable_.get(), {{.path = volume_}}, kPatience);
  ASSERT_TRUE(opened.ok()) << opened.status();
  EXPECT_FALSE((*opened)[0].shared || (*opened)[0].slave);
  ASSERT_EQ(mount(nullptr, volume_.c_str(), nullptr, MS_SHARED, nullptr), 0);
  opened = OpenVolumes(executable_.get(), {{.path = volume_}}, kPatience);
  ASSERT_TRUE(opened.ok()) << opened.status();
  EXPECT_TRUE((*opened)[0].shared);
  EXPECT_FALSE((*opened)[0].slave);
}

TEST_F(MountStepsTest, OpenVolumesTellsWhatTheMountIsProtectedBy) {
  MountTmpfs(volume_);
  ASSERT_EQ(mount(nullptr, volume_.c_str(), nullptr, MS_REMOUNT | MS_BIND, nullptr), 0);
  absl::StatusOr<std::vector<OpenedVolume>> opened =
      OpenVolumes(executable_.get(), {{.path = volume_}}, kPatience);
  ASSERT_TRUE(opened.ok()) << opened.status();
  EXPECT_EQ((*opened)[0].attributes, 0u);
  ASSERT_EQ(mount(nullptr, volume_.c_str(), nullptr,
                  MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr),
            0);
  opened = OpenVolumes(executable_.get(), {{.path = volume_}}, kPatience);
  ASSERT_TRUE(opened.ok()) << opened.status();
  EXPECT_EQ((*opened)[0].attributes,
            uint64_t{MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC});
}

TEST_F(MountStepsTest, OpenVolumesMakesWhatIsMissingButFollowsNoLinkThatLeadsNowhere) {
  const absl::StatusOr<std::vector<OpenedVolume>> made =
      OpenVolumes(executable_.get(), {{.path = volume_ + "/a/b/c"}}, kPatience);
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_TRUE((*made)[0].is_directory);
  EXPECT_TRUE(std::filesystem::is_directory(volume_ + "/a/b/c"));
  std::filesystem::create_symlink(volume_ + "/nowhere", volume_ + "/link");
  for (const char* path : {"/link", "/link/inside"}) {
    EXPECT_EQ(OpenVolumes(executable_.get(), {{.path = volume_ + path}}, kPatience).status().code(),
              absl::StatusCode::kNotFound)
        << path;
  }
  EXPECT_FALSE(std::filesystem::exists(volume_ + "/nowhere"));
}

TEST_F(MountStepsTest, ABindOntoProcOrSysIsRefusedUnlessItMay) {
  std::filesystem::create_symlink("/proc/sys", data_ + "/layers/1/innocent");
  for (const char* target : {"/proc/sys", "/sys/fs", "/innocent"}) {
    Container& container = MakeContainer();
    const LaunchPlan plan =
        PlanWith(container, MakeSpec(container, {"true"}),
                 {{.op = Op::kBind, .strings = {target, "/shm"}, .a = -1, .b = wire::kDirectory}});
    const absl::Status failed = StartPlan(container, plan).status();
    EXPECT_EQ(failed.code(), absl::StatusCode::kPermissionDenied) << target << " " << failed;
  }
  Container& container = MakeContainer();
  EXPECT_EQ(
      RunPlan(container, PlanWith(container, MakeSpec(container, {"echo", "fine"}),
                                  {{.op = Op::kBind,
                                    .strings = {"/proc/sys", "/shm"},
                                    .a = -1,
                                    .b = int64_t{wire::kDirectory} | wire::kBindOverKernelFs}})),
      "fine\n");
}

TEST_F(MountStepsTest, AMaskIsTheNodesNullDeviceWhateverTheContainersIs) {
  Container& container = MakeContainer();
  ContainerSpec spec =
      MakeSpec(container, {"sh", "-c", "cat /proc/uptime; stat -c %t:%T /proc/uptime"});
  spec.masked_paths = {"/proc/uptime"};
  // The container's own /dev/null is a link to something that an attacker would like to be bound.
  std::erase_if(spec.devices, [](const DeviceSpec& device) { return device.path == "/dev/null"; });
  LaunchPlan plan = PlanWith(
      container, spec, {{.op = Op::kSymlink, .strings = {"/dev/null", "/proc/sysrq-trigger"}}},
      Op::kMaskPath);
  EXPECT_EQ(RunPlan(container, plan), "1:3\n");
}

TEST_F(MountStepsTest, EntriesOfOneDirectoryGoWhereItIsNow) {
  Container& container = MakeContainer();
  const LaunchPlan plan =
      PlanWith(container, MakeSpec(container, {"sh", "-c", "ls /a /a/one /b"}),
               {{.op = Op::kMakeDir, .strings = {"/a/one"}, .a = 0755},
                {.op = Op::kMakeDir, .strings = {"/a/one/first"}, .a = 0755},
                {.op = Op::kSymlink, .strings = {"/a/one/second", "to"}},
                {.op = Op::kMakeDir, .strings = {"/b/third"}, .a = 0755},
                {.op = Op::kMount, .strings = {"tmpfs", "/b", ""}, .b = wire::kDirectory},
                {.op = Op::kMakeDir, .strings = {"/b/fourth"}, .a = 0755}});
  EXPECT_EQ(RunPlan(container, plan), "/a:\none\n\n/a/one:\nfirst\nsecond\n\n/b:\nfourth\n")
      << "what was made in /b before the mount is covered by it";
}

TEST_F(MountStepsTest, WhatIsMountedInATmpfsOfThePlanIsThere) {
  Container& container = MakeContainer();
  const LaunchPlan plan = PlanWith(
      container,
      MakeSpec(container,
               {"sh", "-c", "ls /own /own/bin; cat /own/file; grep -c ' /own' /proc/mounts"}),
      {{.op = Op::kMount, .strings = {"tmpfs", "/own", ""}, .b = wire::kDirectory},
       {.op = Op::kBind,
        .strings = {"/own/bin", "/data/layers/1/bin"},
        .a = -1,
        .b = wire::kDirectory},
       {.op = Op::kBind, .strings = {"/own/file", "/proc/self/comm"}, .a = -1, .b = wire::kFile},
       {.op = Op::kMount, .strings = {"tmpfs", "/own/more", ""}, .b = wire::kDirectory}});
  EXPECT_THAT(RunPlan(container, plan),
              AllOf(HasSubstr("bin\nfile\nmore\n"), HasSubstr("busybox\n"), HasSubstr("sh\n4\n")));
}

TEST_F(MountStepsTest, WhatCoversATmpfsOfThePlanGetsWhatIsMadeThereNext) {
  std::filesystem::create_symlink("/own/place", data_ + "/layers/1/link");
  for (const char* cover : {"/own/place", "/own", "/link"}) {
    Container& container = MakeContainer();
    const LaunchPlan plan =
        PlanWith(container, MakeSpec(container, {"ls", "/own/place"}),
                 {{.op = Op::kMount, .strings = {"tmpfs", "/own/place", ""}, .b = wire::kDirectory},
                  {.op = Op::kMakeDir, .strings = {"/own/place/covered"}, .a = 0755},
                  {.op = Op::kBind, .strings = {cover, "/shm"}, .a = -1, .b = wire::kDirectory},
                  {.op = Op::kMakeDir, .strings = {"/own/place/seen"}, .a = 0755}});
    EXPECT_THAT(RunPlan(container, plan), AllOf(HasSubstr("seen"), Not(HasSubstr("covered"))))
        << cover;
  }
}

TEST_F(MountStepsTest, AKernelFileSystemInATmpfsOfThePlanIsNoPlaceForABind) {
  Container& container = MakeContainer();
  const absl::Status failed =
      StartPlan(container, PlanWith(container, MakeSpec(container, {"true"}),
                                    {{.op = Op::kMount, .strings = {"tmpfs", "/own", ""}},
                                     {.op = Op::kMount, .strings = {"proc", "/own/proc", ""}},
                                     {.op = Op::kBind, .strings = {"/own/proc", "/shm"}, .a = -1}}))
          .status();
  EXPECT_EQ(failed.code(), absl::StatusCode::kPermissionDenied) << failed;
}

TEST_F(MountStepsTest, ATreeInASlotIsBoundLater) {
  Container& container = MakeContainer();
  const LaunchPlan plan = PlanWith(
      container, MakeSpec(container, {"ls", "/copy"}),
      {{.op = Op::kOpenTree, .strings = {"/data/layers/1/bin"}, .a = 3},
       {.op = Op::kBind, .strings = {"/copy"}, .a = wire::TreeSlot(3), .b = wire::kDirectory}});
  EXPECT_THAT(RunPlan(container, plan), HasSubstr("busybox\n"));
  Container& other = MakeContainer();
  const absl::Status failed = StartPlan(other, PlanWith(other, MakeSpec(other, {"true"}),
                                                        {{.op = Op::kBind,
                                                          .strings = {"/copy"},
                                                          .a = wire::TreeSlot(5),
                                                          .b = wire::kDirectory}}))
                                  .status();
  EXPECT_FALSE(failed.ok()) << "nothing is in that slot";
}

TEST_F(MountStepsTest, NodesGetTheirOwnerAndReplaceWhatTheImageHasThere) {
  std::filesystem::create_directories(data_ + "/layers/1/opt");
  std::filesystem::create_symlink("/proc/kcore", data_ + "/layers/1/opt/null");
  Container& container = MakeContainer();
  const LaunchPlan plan =
      PlanWith(container, MakeSpec(container, {"stat", "-c", "%t:%T %u:%g %a", "/opt/null"}),
               {{.op = Op::kMakeNode,
                 .strings = {"/opt/null"},
                 .a = S_IFCHR | 0640,
                 .b = static_cast<int64_t>(makedev(1, 3)),
                 .c = 7 | int64_t{9} << 32}});
  EXPECT_EQ(RunPlan(container, plan), "1:3 7:9 640\n");
}

class ImageMountTest : public MountStepsTest {
 protected:
  void SetUp() override {
    MountStepsTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    for (const char* layer : {"low", "top"}) {
      std::filesystem::create_directories(absl::StrCat(data_, "/layers/", layer, "/dir"));
      ASSERT_TRUE(ReplaceFileAt(AT_FDCWD, absl::StrCat(data_, "/layers/", layer, "/dir/", layer),
                                absl::StrCat(layer, "\n"), 0644)
                      .ok());
    }
    std::filesystem::create_symlink("/dir", data_ + "/layers/low/link");
  }
  absl::StatusOr<std::string> RunImage(const std::string& layers, const std::string& inside,
                                       const std::string& script) {
    Container& container = MakeContainer();
    const LaunchPlan plan =
        PlanWith(container, MakeSpec(container, {"sh", "-c", script}),
                 {{.op = Op::kMountImage, .strings = {layers, "/img", inside, "/data"}, .b = -1}});
    Pipe log;
    RETURN_IF_ERROR(StartPlan(container, plan, {.log = log.write.get()}).status());
    AwaitExit(container.id);
    log.write.reset();
    return log.Await("\xff");
  }
};

TEST_F(ImageMountTest, OneLayerOrManyAreThereReadOnly) {
  for (const char* layers : {"layers/low", "layers/top:layers/low"}) {
    const absl::StatusOr<std::string> text =
        RunImage(layers, "", "ls /img/dir; echo x 2>/dev/null >/img/f || echo read-only");
    ASSERT_TRUE(text.ok()) << text.status();
    EXPECT_THAT(*text, AllOf(HasSubstr("low"), HasSubstr("read-only"))) << layers;
  }
  EXPECT_THAT(*RunImage("layers/top:layers/low", "", "ls /img/dir"), HasSubstr("top"));
}

TEST_F(ImageMountTest, APathInsideIsADirectoryOrAFile) {
  for (const char* layers : {"layers/low", "layers/top:layers/low"}) {
    EXPECT_THAT(RunImage(layers, "dir", "cat /img/low").value_or(""), HasSubstr("low")) << layers;
    EXPECT_THAT(RunImage(layers, "dir/low", "cat /img").value_or(""), HasSubstr("low")) << layers;
    EXPECT_EQ(RunImage(layers, "nope", "true").status().code(), absl::StatusCode::kNotFound);
    EXPECT_FALSE(RunImage(layers, "link/low", "true").ok())
        << "a link in the image is not followed";
  }
}

}  // namespace
}  // namespace berth
