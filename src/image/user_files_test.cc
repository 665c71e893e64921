#include "src/image/user_files.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "src/base/unique_fd.h"

namespace berth {
namespace {

class UserFileCacheTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "user-files-XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    root_ = pattern;
    fd_.reset(open(root_.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    for (const char* layer : {"1", "2"})
      std::filesystem::create_directories(absl::StrCat(root_, "/", layer, "/etc"));
  }
  void TearDown() override { std::filesystem::remove_all(root_); }

  void Write(const std::string& path, const std::string& text) {
    std::ofstream(root_ + "/" + path) << text;
  }
  std::string Of(const Image& image) {
    const absl::StatusOr<UserFiles> files = cache_.Of(fd_.get(), image);
    return files.ok() ? absl::StrCat(files->passwd, "|", files->group) : files.status().ToString();
  }

  std::string root_;
  UniqueFd fd_;
  UserFileCache cache_;
};

TEST_F(UserFileCacheTest, ReadsTheFilesOfALayerOnce) {
  Write("1/etc/passwd", "p");
  Write("1/etc/group", "g");
  const Image image = {.id = "sha256:1", .layers = {"1"}};
  EXPECT_EQ(Of(image), "p|g");
  Write("1/etc/passwd", "other");
  EXPECT_EQ(Of(image), "p|g");
}

TEST_F(UserFileCacheTest, ReadsThoseOfOtherLayersAndOtherImages) {
  Write("1/etc/passwd", "p");
  EXPECT_EQ(Of({.id = "sha256:1", .layers = {"1"}}), "p|");
  Write("2/etc/passwd", "mended");
  EXPECT_EQ(Of({.id = "sha256:1", .layers = {"1", "2"}}), "mended|");
  Write("1/etc/passwd", "q");
  EXPECT_EQ(Of({.id = "sha256:2", .layers = {"1"}}), "q|");
}

TEST_F(UserFileCacheTest, RemembersNoFailure) {
  const Image image = {.id = "sha256:1", .layers = {"3"}};
  EXPECT_FALSE(cache_.Of(fd_.get(), image).ok());
  std::filesystem::create_directories(root_ + "/3");
  EXPECT_EQ(Of(image), "|");
}

TEST_F(UserFileCacheTest, ReadsLargeFilesEachTime) {
  Write("1/etc/group", std::string(17 << 10, 'g'));
  const Image image = {.id = "sha256:1", .layers = {"1"}};
  EXPECT_EQ(Of(image).size(), (17u << 10) + 1);
  Write("1/etc/group", "g");
  EXPECT_EQ(Of(image), "|g");
}

TEST_F(UserFileCacheTest, HoldsSoManyImagesAndNoMore) {
  Write("1/etc/passwd", "first");
  const Image image = {.id = "sha256:first", .layers = {"1"}};
  EXPECT_EQ(Of(image), "first|");
  Write("1/etc/passwd", "later");
  for (int i = 0; i < 64; ++i) Of({.id = absl::StrCat("sha256:", i), .layers = {"1"}});
  EXPECT_EQ(Of(image), "later|");
}

}  // namespace
}  // namespace berth
