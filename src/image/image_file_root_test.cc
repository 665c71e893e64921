// ReadImageFile through real directories (trusted.* attributes and whiteouts need root).
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

#include "gtest/gtest.h"
#include "src/base/unique_fd.h"
#include "src/image/user.h"
#include "src/kernel/file.h"

namespace berth {
namespace {

class ReadImageFileTest : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root: whiteouts are device nodes";
    char name[] = "/tmp/berth-read-test-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    base_ = name;
    fd_ = UniqueFd(::open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    for (const char* layer : {"low", "mid", "top"}) Dir(layer);
  }
  void TearDown() override {
    if (!base_.empty()) {
      EXPECT_TRUE(RemoveTreeAt(AT_FDCWD, base_).ok());
    }
  }

  void Dir(const std::string& path) { ASSERT_TRUE(MakeDirs(base_ + "/" + path, 0755).ok()); }
  void Write(const std::string& path, const std::string& content) {
    Dir(path.substr(0, path.rfind('/')));
    ASSERT_TRUE(ReplaceFileAt(fd_.get(), path, content, 0644).ok());
  }
  void Whiteout(const std::string& path) {
    Dir(path.substr(0, path.rfind('/')));
    ASSERT_EQ(::mknodat(fd_.get(), path.c_str(), S_IFCHR, makedev(0, 0)), 0);
  }
  void Opaque(const std::string& path) {
    Dir(path);
    ASSERT_EQ(::setxattr((base_ + "/" + path).c_str(), "trusted.overlay.opaque", "y", 1, 0), 0);
  }
  absl::StatusOr<std::string> Read(const std::string& path = "/etc/passwd") {
    return ReadImageFile(fd_.get(), {"low", "mid", "top"}, path);
  }

  std::string base_;
  UniqueFd fd_;
};

TEST_F(ReadImageFileTest, AbsentIsEmpty) { EXPECT_EQ(*Read(), ""); }

TEST_F(ReadImageFileTest, TopmostLayerWins) {
  Write("low/etc/passwd", "low");
  EXPECT_EQ(*Read(), "low");
  Write("top/etc/passwd", "top");
  EXPECT_EQ(*Read(), "top");
}

TEST_F(ReadImageFileTest, DirectoryAboveDoesNotHideTheFileBelow) {
  Write("low/etc/passwd", "low");
  Write("top/etc/group", "other");
  EXPECT_EQ(*Read(), "low");
}

TEST_F(ReadImageFileTest, WhiteoutsHide) {
  Write("low/etc/passwd", "low");
  Whiteout("mid/etc/passwd");
  EXPECT_EQ(*Read(), "");
  Write("top/etc/passwd", "top");
  EXPECT_EQ(*Read(), "top");
}

TEST_F(ReadImageFileTest, WhiteoutOfTheDirectoryHides) {
  Write("low/etc/passwd", "low");
  Whiteout("mid/etc");
  EXPECT_EQ(*Read(), "");
}

TEST_F(ReadImageFileTest, OpaqueDirectoryHides) {
  Write("low/etc/passwd", "low");
  Opaque("mid/etc");
  EXPECT_EQ(*Read(), "");
}

TEST_F(ReadImageFileTest, OpaqueParentHidesAllBelow) {
  Write("low/a/b/f", "low");
  Opaque("mid/a");
  EXPECT_EQ(*Read("a/b/f"), "");
}

TEST_F(ReadImageFileTest, FileInThePlaceOfTheDirectoryHides) {
  Write("low/etc/passwd", "low");
  Write("mid/etc", "a file");
  EXPECT_EQ(*Read(), "");
}

TEST_F(ReadImageFileTest, SymbolicLinksAreNotFollowed) {
  Write("low/etc/passwd", "low");
  Dir("mid/etc");
  ASSERT_EQ(::symlinkat("/etc/passwd", fd_.get(), "mid/etc/passwd"), 0);
  EXPECT_EQ(*Read(), "");
  ASSERT_EQ(::symlinkat("/etc", fd_.get(), "top/etc"), 0);
  EXPECT_EQ(*Read(), "");
}

TEST_F(ReadImageFileTest, OnlyRegularFilesAreRead) {
  Dir("mid/etc");
  ASSERT_EQ(::mkfifoat(fd_.get(), "mid/etc/passwd", 0644), 0);
  EXPECT_EQ(*Read(), "");
  Dir("top/etc/passwd");
  EXPECT_EQ(*Read(), "");
}

TEST_F(ReadImageFileTest, LengthIsBounded) {
  Write("low/etc/passwd", std::string((1 << 20) + 1, 'x'));
  EXPECT_EQ(Read().status().code(), absl::StatusCode::kResourceExhausted);
  Write("mid/etc/passwd", std::string(1 << 20, 'x'));
  EXPECT_EQ(Read()->size(), size_t{1} << 20);
}

TEST_F(ReadImageFileTest, HugeSparseFileIsNotReadToItsEnd) {
  Dir("low/etc");
  ASSERT_TRUE(ReplaceFileAt(fd_.get(), "low/etc/passwd", "", 0644).ok());
  ASSERT_EQ(::truncate((base_ + "/low/etc/passwd").c_str(), off_t{1} << 40), 0);
  EXPECT_EQ(Read().status().code(), absl::StatusCode::kResourceExhausted);
}

TEST_F(ReadImageFileTest, MissingLayerIsAnError) {
  EXPECT_EQ(ReadImageFile(fd_.get(), {"low", "nowhere"}, "/etc/passwd").status().code(),
            absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace berth
