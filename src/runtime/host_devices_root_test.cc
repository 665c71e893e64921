// Against real device nodes and the real monitor.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "src/base/unique_fd.h"
#include "src/kernel/file.h"
#include "src/kernel/process.h"
#include "src/runtime/host_devices.h"

namespace berth {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr absl::Duration kTimeout = absl::Minutes(1);

class HostDevicesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root to make device nodes";
    auto monitor = SealedCopy(BERTH_BIN_DIR "/berth-monitor");
    ASSERT_TRUE(monitor.ok()) << monitor.status();
    monitor_ = *std::move(monitor);
    char name[] = "/tmp/berth-devices-XXXXXX";
    dir_ = ::mkdtemp(name);
  }
  void TearDown() override {
    if (!dir_.empty()) (void)RemoveTreeAt(AT_FDCWD, dir_);
  }

  std::string Path(const std::string& name) const { return absl::StrCat(dir_, "/", name); }
  void Node(const std::string& name, mode_t mode, unsigned major_number, unsigned minor_number) {
    ASSERT_EQ(::mknod(Path(name).c_str(), mode, makedev(major_number, minor_number)), 0) << name;
    ASSERT_EQ(::chmod(Path(name).c_str(), mode & 07777), 0);
  }
  void Directory(const std::string& name) {
    ASSERT_EQ(::mkdir(Path(name).c_str(), 0755), 0) << name;
  }
  absl::StatusOr<std::vector<HostDevice>> Describe(const std::vector<std::string>& paths) {
    return DescribeHostDevices(monitor_.get(), paths, kTimeout);
  }

  UniqueFd monitor_;
  std::string dir_;
};

std::vector<std::string> Relatives(const std::vector<HostDevice>& devices) {
  std::vector<std::string> names;
  for (const HostDevice& device : devices) names.push_back(device.relative);
  return names;
}

TEST_F(HostDevicesTest, TellsWhatANodeIs) {
  Node("block", S_IFBLK | 0640, 259, 70000);
  ASSERT_EQ(::chown(Path("block").c_str(), 11, 12), 0);
  const auto devices = Describe({"/dev/null", Path("block")});
  ASSERT_TRUE(devices.ok()) << devices.status();
  ASSERT_EQ(devices->size(), 2u);
  EXPECT_EQ((*devices)[0].type, 'c');
  EXPECT_EQ((*devices)[0].major, 1u);
  EXPECT_EQ((*devices)[0].minor, 3u);
  const HostDevice& block = (*devices)[1];
  EXPECT_EQ(block.request, 1u);
  EXPECT_EQ(block.path, Path("block"));
  EXPECT_EQ(block.relative, "");
  EXPECT_EQ(block.type, 'b');
  EXPECT_EQ(block.major, 259u);
  EXPECT_EQ(block.minor, 70000u);
  EXPECT_EQ(block.mode, 0640u);
  EXPECT_EQ(block.uid, 11u);
  EXPECT_EQ(block.gid, 12u);
}

TEST_F(HostDevicesTest, FollowsLinksToANode) {
  Node("real", S_IFCHR | 0666, 1, 5);
  ASSERT_EQ(::symlink("real", Path("link").c_str()), 0);
  const auto devices = Describe({Path("link")});
  ASSERT_TRUE(devices.ok()) << devices.status();
  ASSERT_EQ(devices->size(), 1u);
  EXPECT_EQ((*devices)[0].path, Path("real"));
  EXPECT_EQ((*devices)[0].minor, 5u);
}

TEST_F(HostDevicesTest, TakesEveryNodeBelowADirectory) {
  for (const char* name : {"sub", "sub/deep", "pts", "shm", "fd", "mqueue", ".lxc", ".lxd-mounts",
                           ".udev", "sub/pts"}) {
    Directory(name);
    if (std::string(name).find("sub") == std::string::npos || std::string(name) == "sub/pts")
      Node(absl::StrCat(name, "/hidden"), S_IFCHR | 0666, 1, 3);
  }
  Node("b", S_IFCHR | 0666, 1, 3);
  Node("a", S_IFBLK | 0600, 7, 1);
  Node("console", S_IFCHR | 0600, 5, 1);
  Node("sub/console", S_IFCHR | 0600, 5, 1);
  Node("sub/deep/c", S_IFCHR | 0666, 1, 5);
  Node("whiteout", S_IFCHR | 0666, 0, 0);
  Node("fifo", S_IFIFO | 0666, 0, 0);
  ASSERT_TRUE(ReplaceFileAt(AT_FDCWD, Path("file"), "x", 0644).ok());
  ASSERT_EQ(::symlink("/dev/null", Path("link").c_str()), 0);
  ASSERT_EQ(::symlink("/dev", Path("dirlink").c_str()), 0);
  const auto devices = Describe({dir_});
  ASSERT_TRUE(devices.ok()) << devices.status();
  EXPECT_THAT(Relatives(*devices), ElementsAre("a", "b", "sub/deep/c"));
  EXPECT_EQ((*devices)[2].path, Path("sub/deep/c"));
}

TEST_F(HostDevicesTest, NamesWhatIsNoDevice) {
  const std::string file = Path("file");
  ASSERT_TRUE(ReplaceFileAt(AT_FDCWD, file, "x", 0644).ok());
  const absl::Status status = Describe({"/dev/null", file}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(status.message(), HasSubstr(absl::StrCat("describe device ", file, ": neither")));
}

TEST_F(HostDevicesTest, NamesWhatIsNotThere) {
  const absl::Status status = Describe({Path("absent")}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(status.message(), HasSubstr(Path("absent")));
}

TEST_F(HostDevicesTest, DoesNotWalkForEver) {
  std::string name = "d";
  for (int depth = 0; depth < 20; ++depth) {
    Directory(name);
    absl::StrAppend(&name, "/d");
  }
  EXPECT_FALSE(Describe({dir_}).ok());
}

TEST_F(HostDevicesTest, GivesPrivilegedContainersWhatIsBelowDev) {
  const auto devices = PrivilegedDevices(monitor_.get(), kTimeout);
  ASSERT_TRUE(devices.ok()) << devices.status();
  const std::vector<std::string> names = Relatives(*devices);
  EXPECT_THAT(names, Contains("null"));
  EXPECT_THAT(names, Contains("zero"));
  for (const char* own : {"ptmx", "console", "pts/ptmx"}) EXPECT_THAT(names, Not(Contains(own)));
}

TEST_F(HostDevicesTest, GivesUpOnAPathThatHangs) {
  // A FUSE file system whose server answers nothing, in a mount namespace of this test.
  const UniqueFd server(::open("/dev/fuse", O_RDWR | O_CLOEXEC));
  if (!server.valid()) GTEST_SKIP() << "this kernel has no FUSE";
  ASSERT_EQ(::unshare(CLONE_NEWNS), 0);
  ASSERT_EQ(::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0);
  const std::string options =
      absl::StrCat("fd=", server.get(), ",rootmode=40000,user_id=0,group_id=0");
  Directory("dead");
  const std::string dead = Path("dead");
  ASSERT_EQ(::mount("dead", dead.c_str(), "fuse", 0, options.c_str()), 0);
  const std::string device = absl::StrCat(dead, "/device");
  const absl::Status status =
      DescribeHostDevices(monitor_.get(), {"/dev/null", device}, absl::Milliseconds(50)).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr(absl::StrCat("describe device ", device)));
  EXPECT_EQ(::umount2(dead.c_str(), MNT_DETACH), 0);
}

}  // namespace
}  // namespace berth
