// Layers over layers: what an archive takes for granted of those below it.
#include "src/image/pull/adopt.h"

#include <sched.h>
#include <sys/mount.h>

#include "src/image/pull/layer_fixture.h"

namespace berth {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::UnorderedElementsAre;
using testing_image::Directory;
using testing_image::File;
using testing_image::PaxBytes;
using testing_image::TarBytes;

class AdoptTest : public LayerFixture {
 protected:
  // A layer that others come to lie upon.
  void Below(const std::vector<std::string>& entries) {
    UnpackOk(entries);
    if (!needs_.empty()) {
      ASSERT_TRUE(Fit().ok());
    }
    below_.push_back(root_.get());
    kept_.push_back(std::move(root_));
    paths_.push_back(root_path_);
    NewLayer();
  }
  absl::Status Fit() {
    const absl::Status status = Adopt(root_.get(), needs_, below_);
    if (status.ok()) {
      EXPECT_TRUE(WriteTreeOf(root_.get(), tree_.get()).ok());
      EXPECT_THAT(Differences(), testing::IsEmpty());
    }
    return status;
  }
  void Top(const std::vector<std::string>& entries) {
    UnpackOk(entries);
    const absl::Status status = Fit();
    ASSERT_TRUE(status.ok()) << status;
  }

  std::vector<int> below_;
  std::vector<UniqueFd> kept_;
  std::vector<std::string> paths_;
};

TEST_F(AdoptTest, DirectoriesTakeWhatTheTopmostLayerBelowShows) {
  Below({Directory("t/", 01777), Directory("hidden/", 0700), Directory("z/", 0711)});
  Below({File(".wh.hidden", ""), TarBytes({.path = "z/", .type = '5', .mode = 0750, .uid = 8})});
  Top({File("t/f", ""), File("hidden/f", ""), File("z/f", ""), File("new/f", "")});
  EXPECT_EQ(Stat("t").st_mode & 07777, 01777u);
  EXPECT_EQ(Stat("t").st_mtim.tv_sec, 1'000'000'000);
  EXPECT_EQ(Stat("hidden").st_mode & 07777, 0755u);
  EXPECT_EQ(Stat("z").st_mode & 07777, 0750u);
  EXPECT_EQ(Stat("z").st_uid, 8u);
  EXPECT_EQ(Stat("new").st_mode & 07777, 0755u);
}

TEST_F(AdoptTest, DirectoriesTakeExtendedAttributes) {
  Below({PaxBytes({{"SCHILY.xattr.user.note", "hello"}}), Directory("d/")});
  Top({File("d/f", "")});
  EXPECT_EQ(Xattr("d", "user.note"), "hello");
}

TEST_F(AdoptTest, DirectoryOfTheArchiveKeepsItsOwn) {
  Below({Directory("d/", 0700)});
  Top({File("d/f", ""), Directory("d/", 0711), File("e/f", "")});
  EXPECT_EQ(Stat("d").st_mode & 07777, 0711u);
}

TEST_F(AdoptTest, EntriesBelowASymlinkOfALowerLayerGoWhereItLeads) {
  Below({Directory("usr/", 0711),
         TarBytes({.path = "usr/lib/", .type = '5', .mode = 0750, .uid = 4}),
         Symlink("lib", "usr/lib"), Symlink("abs", "/usr/./lib/../lib")});
  Top({File("lib/x", "1"), File("lib/sub/y", "2"), File("abs/z", "3"), Link("abs/h", "abs/z"),
       File("abs/.wh.gone", "")});
  EXPECT_FALSE(Exists("lib"));
  EXPECT_FALSE(Exists("abs"));
  EXPECT_EQ(Read("usr/lib/x"), "1");
  EXPECT_EQ(Read("usr/lib/sub/y"), "2");
  EXPECT_EQ(Read("usr/lib/z"), "3");
  EXPECT_EQ(Stat("usr/lib/h").st_ino, Stat("usr/lib/z").st_ino);
  EXPECT_TRUE(IsWhiteout("usr/lib/gone"));
  EXPECT_EQ(Stat("usr").st_mode & 07777, 0711u);
  EXPECT_EQ(Stat("usr/lib").st_mode & 07777, 0750u);
  EXPECT_EQ(Stat("usr/lib").st_uid, 4u);
}

TEST_F(AdoptTest, SymlinkBelowMeetsADirectoryOfTheArchive) {
  Below({Directory("usr/"), Directory("usr/lib/"), Symlink("lib", "usr/lib")});
  Top({Directory("usr/", 0701), Directory("usr/lib/", 0705), File("usr/lib/a", "1"),
       File("lib/b", "2")});
  EXPECT_THAT(Names("usr/lib"), UnorderedElementsAre("a", "b"));
  EXPECT_EQ(Stat("usr/lib").st_mode & 07777, 0705u);
  EXPECT_EQ(Stat("usr/lib").st_mtim.tv_sec, 1'000'000'000);
}

TEST_F(AdoptTest, TwoEntriesThatBecomeOneAreRefused) {
  Below({Directory("usr/"), Directory("usr/lib/"), Symlink("lib", "usr/lib")});
  UnpackOk({File("usr/lib/a", "1"), File("lib/a", "2")});
  const absl::Status status = Fit();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("usr/lib/a"));
}

TEST_F(AdoptTest, DirectoryEntryReplacesASymlinkBelow) {
  Below({Directory("usr/"), Symlink("lib", "usr")});
  Top({Directory("lib/"), File("lib/x", ""), File("other/f", "")});
  EXPECT_EQ(Read("lib/x"), "");
  EXPECT_FALSE(Exists("usr"));
}

TEST_F(AdoptTest, SymlinkBelowThatLeadsIntoItselfIsRefused) {
  Below({Symlink("a", "a/b"), Symlink("l1", "l2"), Symlink("l2", "l1")});
  UnpackOk({File("l1/f", "")});
  EXPECT_EQ(Fit().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(AdoptTest, SymlinkBelowNeverLeadsOut) {
  Below({Symlink("out", "../../../../../../tmp"), Symlink("abs", "/etc")});
  Top({File("out/berth-escape", "x"), File("abs/berth-escape", "x")});
  EXPECT_EQ(Read("tmp/berth-escape"), "x");
  EXPECT_EQ(Read("etc/berth-escape"), "x");
  struct stat st;
  EXPECT_NE(::lstat("/tmp/berth-escape", &st), 0);
  EXPECT_NE(::lstat("/etc/berth-escape", &st), 0);
}

TEST_F(AdoptTest, HardLinkToAFileBelowIsACopyUnderBothNames) {
  const std::string content(300'000, 'c');
  Below({Directory("bin/", 0711),
         PaxBytes({{"SCHILY.xattr.user.note", "hello"}}) +
             TarBytes(
                 {.path = "bin/tool", .content = content, .mode = 04755, .uid = 9, .mtime = 5})});
  Top({Link("alias", "bin/tool"), Directory("d/"), Link("d/second", "bin/tool"),
       Link("third", "alias")});
  EXPECT_EQ(Read("alias"), content);
  EXPECT_EQ(Stat("alias").st_mode, S_IFREG | 04755u);
  EXPECT_EQ(Stat("alias").st_uid, 9u);
  EXPECT_EQ(Stat("alias").st_mtim.tv_sec, 5);
  EXPECT_EQ(Xattr("alias", "user.note"), "hello");
  EXPECT_EQ(Xattr("alias", kBorrowedXattr), "(none)");
  for (const char* name : {"bin/tool", "d/second", "third"})
    EXPECT_EQ(Stat(name).st_ino, Stat("alias").st_ino) << name;
  EXPECT_EQ(Stat("bin").st_mode & 07777, 0711u);
  EXPECT_EQ(Stat("d").st_mtim.tv_sec, 1'000'000'000);
}

TEST_F(AdoptTest, HardLinkThroughSymlinksAndToSymlinks) {
  Below({Directory("usr/"), File("usr/f", "x"), Symlink("u", "usr"), Symlink("s", "nowhere")});
  Top({Link("h", "u/f"), Link("l", "s")});
  EXPECT_EQ(Read("h"), "x");
  EXPECT_EQ(Stat("usr/f").st_ino, Stat("h").st_ino);
  EXPECT_TRUE(S_ISLNK(Stat("l").st_mode));
  EXPECT_EQ(Stat("l").st_ino, Stat("s").st_ino);
}

TEST_F(AdoptTest, HardLinkKeepsTheHolesOfTheFile) {
  std::string item = TarBytes({.path = "sparse",
                               .type = 'S',
                               .content = "end",
                               .magic = absl::string_view("ustar  \0", 8)});
  testing_image::PutSparse(item, {{(1 << 20) - 3, 3}}, 1 << 20);
  Below({item});
  Top({Link("copy", "sparse")});
  EXPECT_EQ(Stat("copy").st_size, 1 << 20);
  EXPECT_LT(Stat("copy").st_blocks * 512, 64 << 10);
  EXPECT_EQ(ReadFileAt(AT_FDCWD, Path("copy"), 2 << 20).value_or("").substr((1 << 20) - 3), "end");
}

TEST_F(AdoptTest, EntriesAfterTheHardLinkWin) {
  Below({File("f", "old"), File("g", "old")});
  Top({Link("h", "f"), File("f", "new"), Link("k", "g"), File("k", "own"), Link("m", "g"),
       File(".wh.g", "")});
  EXPECT_EQ(Read("h"), "old");
  EXPECT_EQ(Read("f"), "new");
  EXPECT_EQ(Read("k"), "own");
  EXPECT_EQ(Read("m"), "old");
  EXPECT_TRUE(IsWhiteout("g"));
}

TEST_F(AdoptTest, HardLinkToWhatNoLayerHoldsIsRefused) {
  Below({File("gone", ""), Directory("wiped/"), File("wiped/f", ""), Directory("d/")});
  Below({File(".wh.gone", "")});
  for (const char* target : {"missing", "gone", "no/such", "d"}) {
    UnpackOk({Link("h", target)});
    EXPECT_EQ(Fit().code(), absl::StatusCode::kInvalidArgument) << target;
    NewLayer();
  }
  UnpackOk({Directory("wiped/"), File("wiped/.wh..wh..opq", ""), Link("h", "wiped/f")});
  EXPECT_EQ(Fit().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(AdoptTest, OverlayfsShowsWhatOneOverTheOtherWouldHaveMade) {
  Below({Directory("usr/"), Directory("usr/lib/"), File("usr/lib/old", ""),
         Symlink("lib", "usr/lib"), File("f", "shared")});
  Top({File("lib/new", ""), File("lib/.wh.old", ""), Link("g", "f")});
  const std::string lower = paths_[0], upper = root_path_;
  NewLayer();
  ASSERT_EQ(::unshare(CLONE_NEWNS), 0);  // this process only: each test is one of its own
  ASSERT_EQ(::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0);
  const std::string options = absl::StrCat("lowerdir=", upper, ":", lower);
  ASSERT_EQ(::mount("overlay", root_path_.c_str(), "overlay", MS_RDONLY, options.c_str()), 0);
  EXPECT_THAT(Names("."), UnorderedElementsAre("usr", "lib", "f", "g"));
  EXPECT_TRUE(S_ISLNK(Stat("lib").st_mode));
  EXPECT_THAT(Names("usr/lib"), ElementsAre("new"));
  EXPECT_EQ(Stat("f").st_ino, Stat("g").st_ino);
  EXPECT_EQ(Read("g"), "shared");
  EXPECT_EQ(::umount(root_path_.c_str()), 0);
}

}  // namespace
}  // namespace berth
