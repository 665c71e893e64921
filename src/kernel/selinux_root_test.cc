// Labels as extended attributes, which root may write where no SELinux policy is loaded, too.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "src/kernel/selinux.h"
#include "src/kernel/testing/lsm_tree.h"

namespace berth {
namespace {

constexpr char kLabel[] = "system_u:object_r:container_file_t:s0:c1,c2";

// "" without one.
std::string LabelOf(const std::string& path) {
  char label[256];
  const ssize_t size = lgetxattr(path.c_str(), "security.selinux", label, sizeof(label));
  return size <= 0 ? "" : std::string(label, static_cast<size_t>(size) - 1);
}

class RelabelTreeRoot : public LsmTree {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "needs root";
    Write("volume/file", "x");
    Write("volume/a/b/deep", "x");
    Write("outside/file", "x");
    ASSERT_EQ(symlink("../outside", (root_ + "/volume/link").c_str()), 0);
    ASSERT_EQ(mkfifo((root_ + "/volume/fifo").c_str(), 0600), 0);
    const absl::StatusOr<LsmFacts> facts = ReadLsmFacts();
    if (facts.ok() && facts->selinux) GTEST_SKIP() << "a policy decides which labels there are";
    const std::string probe = root_ + "/outside/probe";
    Write("outside/probe", "");
    if (setxattr(probe.c_str(), "security.selinux", "x", 2, 0) != 0)
      GTEST_SKIP() << "no security attributes below " << root_;
  }
  absl::Status Relabel(const std::string& path, int flags = O_PATH) {
    const absl::StatusOr<UniqueFd> fd = OpenFile(AT_FDCWD, path, flags);
    if (!fd.ok()) return fd.status();
    return RelabelTree(fd->get(), path, kLabel);
  }
};

TEST_F(RelabelTreeRoot, LabelsAllBelowButFollowsNoLink) {
  const absl::Status done = Relabel(root_ + "/volume");
  ASSERT_TRUE(done.ok()) << done;
  for (const char* name : {"volume", "volume/file", "volume/a", "volume/a/b", "volume/a/b/deep",
                           "volume/link", "volume/fifo"}) {
    EXPECT_EQ(LabelOf(root_ + "/" + name), kLabel) << name;
  }
  EXPECT_EQ(LabelOf(root_ + "/outside"), "");
  EXPECT_EQ(LabelOf(root_ + "/outside/file"), "");
}

TEST_F(RelabelTreeRoot, LabelsASingleFile) {
  ASSERT_TRUE(Relabel(root_ + "/volume/file", O_RDONLY).ok());
  EXPECT_EQ(LabelOf(root_ + "/volume/file"), kLabel);
  EXPECT_EQ(LabelOf(root_ + "/volume"), "");
}

TEST_F(RelabelTreeRoot, StaysOnTheMount) {
  const std::string below = root_ + "/volume/a";
  ASSERT_EQ(mount((root_ + "/outside").c_str(), below.c_str(), nullptr, MS_BIND, nullptr), 0);
  const absl::Status done = Relabel(root_ + "/volume");
  EXPECT_EQ(umount2(below.c_str(), MNT_DETACH), 0);
  ASSERT_TRUE(done.ok()) << done;
  EXPECT_EQ(LabelOf(root_ + "/volume/file"), kLabel);
  EXPECT_EQ(LabelOf(root_ + "/outside/file"), "");
}

TEST_F(RelabelTreeRoot, LeavesFileSystemsWithoutLabels) {
  const std::string plain = root_ + "/volume/a";
  ASSERT_EQ(mount("none", plain.c_str(), "ramfs", 0, nullptr), 0);
  const absl::Status done = Relabel(plain);
  EXPECT_EQ(umount2(plain.c_str(), MNT_DETACH), 0);
  EXPECT_TRUE(done.ok()) << done;
}

TEST_F(RelabelTreeRoot, RefusesALabelThatIsNone) {
  const absl::StatusOr<UniqueFd> fd = OpenFile(AT_FDCWD, root_ + "/volume", O_PATH);
  ASSERT_TRUE(fd.ok());
  EXPECT_EQ(RelabelTree(fd->get(), root_ + "/volume", "x").code(),
            absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace berth
