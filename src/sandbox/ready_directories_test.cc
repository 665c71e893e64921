#include "src/sandbox/ready_directories.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "src/kernel/file.h"
#include "src/sandbox/mount_points.h"
#include "src/sandbox/record_file.h"

namespace berth {
namespace {

using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;
using Kind = ReadyDirectories::Kind;

mode_t ModeOf(const std::string& path) {
  struct stat info = {};
  EXPECT_EQ(stat(path.c_str(), &info), 0) << path;
  return info.st_mode & 07777;
}

std::vector<std::string> NamesIn(const std::string& path) {
  return ListDir(AT_FDCWD, path).value_or(std::vector<std::string>({"unreadable"}));
}

class ReadyDirectoriesTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "/ready-XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    root_ = pattern;
  }
  void TearDown() override { EXPECT_TRUE(RemoveTreeAt(AT_FDCWD, root_).ok()); }

  std::unique_ptr<ReadyDirectories> Start() {
    auto started = ReadyDirectories::Start(root_ + "/ready");
    EXPECT_TRUE(started.ok()) << started.status();
    return started.ok() ? *std::move(started) : nullptr;
  }

  std::string root_;
};

TEST_F(ReadyDirectoriesTest, AreSpreadOverTheDiskOnExt4) {
  struct statfs disk;
  ASSERT_EQ(statfs(root_.c_str(), &disk), 0);
  if (disk.f_type != EXT4_SUPER_MAGIC) GTEST_SKIP() << "the temporary folder is not on ext4";
  const auto directories = Start();
  const UniqueFd root(open((root_ + "/ready").c_str(), O_RDONLY | O_CLOEXEC));
  int flags = 0;
  ASSERT_EQ(ioctl(root.get(), FS_IOC_GETFLAGS, &flags), 0);
  EXPECT_NE(flags & FS_TOPDIR_FL, 0);
}

TEST_F(ReadyDirectoriesTest, MoreThanAreReadyAreGivenOut) {
  const auto directories = Start();
  for (size_t i = 0; i < ReadyDirectories::kReady + 10; ++i) {
    const std::string pod = absl::StrCat(root_, "/pod-", i), container = absl::StrCat(pod, "-c");
    ASSERT_TRUE(directories->Take(Kind::kPod, pod).ok());
    ASSERT_TRUE(directories->Take(Kind::kContainer, container).ok());
    EXPECT_THAT(NamesIn(pod),
                UnorderedElementsAre("hosts", "hostname", "resolv.conf", "record.json.tmp"));
    EXPECT_THAT(NamesIn(container), UnorderedElementsAre("upper", "work", "record.json.tmp"));
    EXPECT_EQ(ModeOf(pod), 0700u);
    EXPECT_EQ(ModeOf(pod + "/resolv.conf"), 0644u);
    EXPECT_EQ(ModeOf(container), 0700u);
    EXPECT_EQ(ModeOf(container + "/upper"), 0755u);
    EXPECT_EQ(ModeOf(container + "/work"), 0700u);
  }
}

TEST_F(ReadyDirectoriesTest, ReservedRecordIsFilled) {
  const auto directories = Start();
  const std::string container = root_ + "/c";
  ASSERT_TRUE(directories->Take(Kind::kContainer, container).ok());
  const ContainerRow row = {.id = "c",
                            .pod_id = "p",
                            .name = "n",
                            .created_at = 1,
                            .config = "config",
                            .image = "{}",
                            .status = "{}"};
  ASSERT_TRUE(WriteRecordFile(container, row).ok());
  EXPECT_THAT(NamesIn(container), UnorderedElementsAre("upper", "work", "record.json"));
  const absl::StatusOr<ContainerRow> read = ReadContainerRecordFile(container);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->config, "config");
}

TEST_F(ReadyDirectoriesTest, WhatAnEarlierOneLeftIsGone) {
  ASSERT_TRUE(MakeDirs(root_ + "/ready/left/upper/secret", 0700).ok());
  const auto directories = Start();
  EXPECT_NE(access((root_ + "/ready/left").c_str(), F_OK), 0);
}

TEST_F(ReadyDirectoriesTest, WhoNeedsOneIsToldWhyThereIsNone) {
  const auto directories = Start();
  const std::string file = root_ + "/file";
  ASSERT_TRUE(ReplaceFileAt(AT_FDCWD, file, "", 0600).ok());
  for (size_t i = 0; i < ReadyDirectories::kReady + 10; ++i) {
    EXPECT_THAT(std::string(directories->Take(Kind::kPod, file + "/pod").message()),
                HasSubstr(file));
  }
  // Both stocks, and what is being made: none of those that were taken is left.
  EXPECT_LE(NamesIn(root_ + "/ready").size(), 2 * ReadyDirectories::kReady + 2);
}

TEST_F(ReadyDirectoriesTest, MountPointsAreMadeOnceAndEmpty) {
  for (int start = 0; start < 2; ++start) {
    ASSERT_TRUE(MakeMountPoints(root_).ok());
    const std::string layer = absl::StrCat(root_, "/", kMountPoints);
    EXPECT_THAT(NamesIn(layer), UnorderedElementsAre("dev", "etc", "proc", "sys"));
    EXPECT_THAT(NamesIn(layer + "/etc"), UnorderedElementsAre("hosts", "hostname", "resolv.conf"));
    EXPECT_EQ(ModeOf(layer + "/etc"), 0755u);
    EXPECT_EQ(ReadFileAt(AT_FDCWD, layer + "/etc/hosts").value_or("unreadable"), "");
  }
}

}  // namespace
}  // namespace berth
