// A layer that is not what was unpacked any more.
#include "src/image/pull/verify.h"

#include <utime.h>

#include "src/image/pull/layer_fixture.h"

namespace berth {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::UnorderedElementsAre;
using testing_image::Directory;
using testing_image::File;
using testing_image::PaxBytes;
using testing_image::TarBytes;

class VerifyTest : public LayerFixture {
 protected:
  void SetUp() override {
    LayerFixture::SetUp();
    if (IsSkipped()) return;
    UnpackOk({TarBytes({.path = "./", .type = '5', .mode = 0755, .mtime = 50}), Directory("d/"),
              File("d/f", "content"), Link("d/h", "d/f"), Symlink("s", "d/f"),
              File("d/.wh.gone", ""), TarBytes({.path = "p", .type = '6'}),
              PaxBytes({{"SCHILY.xattr.user.note", "v"}}), File("x", "y"), Directory("o/"),
              File("o/.wh..wh..opq", ""), File("empty", "")});
    ASSERT_TRUE(tree_was_streamed_);
  }
  // The directory's time tells of a change too; these tests are about what else does.
  std::vector<std::string> DifferencesBesidesTimes() {
    std::vector<std::string> told = Differences();
    std::erase_if(told, [](const std::string& one) {
      return one.find(" was changed at another time") != std::string::npos;
    });
    return told;
  }
  void Write(const std::string& name, const std::string& content) {
    struct stat before = {};
    (void)::lstat(Path(name).c_str(), &before);  // a new file gets any time
    const UniqueFd fd(::open(Path(name).c_str(), O_WRONLY | O_TRUNC | O_CREAT | O_CLOEXEC, 0644));
    ASSERT_EQ(::write(fd.get(), content.data(), content.size()),
              static_cast<ssize_t>(content.size()));
    const timespec times[2] = {before.st_mtim, before.st_mtim};
    ASSERT_EQ(::futimens(fd.get(), times), 0);
  }
};

TEST_F(VerifyTest, UntouchedLayer) {
  const auto result = VerifyLayer(root_.get(), tree_.get());
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_TRUE(result->ok());
  EXPECT_EQ(result->entries, 10);
  EXPECT_EQ(result->bytes, 8);
}

TEST_F(VerifyTest, ChangedContentOfTheSameSizeAndTime) {
  Write("d/f", "cOntent");
  EXPECT_THAT(Differences(), ElementsAre("d/f has other content"));
}

TEST_F(VerifyTest, TruncatedAndGrown) {
  Write("d/f", "");
  EXPECT_THAT(Differences(), ElementsAre("d/f has 0 bytes instead of 7"));
  Write("empty", "1");
  EXPECT_THAT(Differences(), UnorderedElementsAre("d/f has 0 bytes instead of 7",
                                                  "empty has 1 bytes instead of 0"));
}

TEST_F(VerifyTest, MissingAndExtra) {
  ASSERT_EQ(::unlink(Path("x").c_str()), 0);
  ASSERT_EQ(::mkdir(Path("new").c_str(), 0755), 0);
  EXPECT_THAT(DifferencesBesidesTimes(),
              UnorderedElementsAre("x is missing", "new is in the layer, but not of it"));
}

TEST_F(VerifyTest, DirectoryWithAllItHeld) {
  ASSERT_TRUE(RemoveTreeAt(root_.get(), "d").ok());
  EXPECT_THAT(DifferencesBesidesTimes(),
              UnorderedElementsAre("d is missing", "d/f is missing", "d/h is missing",
                                   "d/gone is missing"));
}

TEST_F(VerifyTest, ModeOwnerAndTime) {
  ASSERT_EQ(::chmod(Path("d").c_str(), 0700), 0);
  EXPECT_THAT(Differences(), ElementsAre("d has mode 0700 instead of 0755"));
  ASSERT_EQ(::lchown(Path("s").c_str(), 5, 0), 0);
  ASSERT_EQ(::lchown(Path("p").c_str(), 0, 6), 0);
  const utimbuf times = {.actime = 1, .modtime = 1};
  ASSERT_EQ(::utime(Path("x").c_str(), &times), 0);
  EXPECT_THAT(Differences(),
              UnorderedElementsAre("d has mode 0700 instead of 0755", "s has owner 5 instead of 0",
                                   "p has group 6 instead of 0", "x was changed at another time"));
}

TEST_F(VerifyTest, ExtendedAttributes) {
  ASSERT_EQ(::setxattr(Path("x").c_str(), "user.note", "w", 1, 0), 0);
  ASSERT_EQ(::setxattr(Path("d").c_str(), "trusted.overlay.opaque", "y", 1, 0), 0);
  ASSERT_EQ(::removexattr(Path("o").c_str(), "trusted.overlay.opaque"), 0);
  EXPECT_THAT(Differences(),
              UnorderedElementsAre("x has another extended attribute user.note",
                                   "d has an extended attribute trusted.overlay.opaque of nobody's",
                                   "o has no extended attribute trusted.overlay.opaque"));
}

TEST_F(VerifyTest, WhiteoutsAndKinds) {
  ASSERT_EQ(::unlink(Path("d/gone").c_str()), 0);
  ASSERT_EQ(::unlink(Path("p").c_str()), 0);
  Write("p", "");
  EXPECT_THAT(DifferencesBesidesTimes(),
              UnorderedElementsAre("d/gone is missing", "p is a file instead of a FIFO"));
}

TEST_F(VerifyTest, LinksThatLeadElsewhere) {
  ASSERT_EQ(::unlink(Path("s").c_str()), 0);
  ASSERT_EQ(::symlink("d/h", Path("s").c_str()), 0);
  ASSERT_EQ(::unlink(Path("d/h").c_str()), 0);
  ASSERT_EQ(::link(Path("x").c_str(), Path("d/h").c_str()), 0);
  EXPECT_THAT(DifferencesBesidesTimes(),
              UnorderedElementsAre("s leads elsewhere", "d/h is a hard link to another file"));
}

TEST_F(VerifyTest, HardLinkThatIsItsOwnFileNow) {
  ASSERT_EQ(::unlink(Path("d/h").c_str()), 0);
  Write("d/f", "content");
  const UniqueFd copy(::open(Path("d/h").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
  EXPECT_THAT(DifferencesBesidesTimes(), ElementsAre("d/h is no hard link any more"));
}

TEST_F(VerifyTest, OnlyTheFirstDifferencesAreTold) {
  for (int i = 0; i < 40; ++i) Write(absl::StrCat("new", i), "");
  const auto result = VerifyLayer(root_.get(), tree_.get());
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->first.size(), kMaxToldDifferences);
  EXPECT_GE(result->differences, 40);
}

TEST_F(VerifyTest, DamagedTreeIsAnError) {
  struct stat st;
  ASSERT_EQ(::fstat(tree_.get(), &st), 0);
  ASSERT_EQ(::ftruncate(tree_.get(), st.st_size - 1), 0);
  EXPECT_EQ(VerifyLayer(root_.get(), tree_.get()).status().code(), absl::StatusCode::kDataLoss);
  ASSERT_EQ(::ftruncate(tree_.get(), 0), 0);
  EXPECT_EQ(VerifyLayer(root_.get(), tree_.get()).status().code(), absl::StatusCode::kDataLoss);
  ASSERT_EQ(::pwrite(tree_.get(), "nonsense", 8, 0), 8);
  EXPECT_EQ(VerifyLayer(root_.get(), tree_.get()).status().code(), absl::StatusCode::kDataLoss);
}

}  // namespace
}  // namespace berth
