// Layers on a real file system: what is written, what is refused, and what overlayfs makes of it.
#include "src/image/pull/unpack.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/image/pull/layer_fixture.h"
#include "src/image/testing/tar_writer.h"

namespace berth {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::UnorderedElementsAre;
using testing_image::Directory;
using testing_image::File;
using testing_image::PaxBytes;
using testing_image::TarBytes;
using testing_image::TarEnd;

using UnpackTest = LayerFixture;

TEST_F(UnpackTest, KindsOfEntriesWithOwnerModeAndTime) {
  UnpackOk(
      {TarBytes({.path = "d/", .type = '5', .mode = 02750, .uid = 1000, .gid = 2000, .mtime = 77}),
       TarBytes({.path = "d/f",
                 .content = "content",
                 .mode = 06755,
                 .uid = 1000,
                 .gid = 2000,
                 .mtime = 88}),
       TarBytes(
           {.path = "s", .type = '2', .link = "../../nowhere", .uid = 5, .gid = 6, .mtime = 99}),
       Link("h", "d/f"), TarBytes({.path = "p", .type = '6', .mode = 0620, .uid = 7}),
       TarBytes({.path = "c", .type = '3', .mode = 0666, .device_major = 1, .device_minor = 3}),
       TarBytes({.path = "b", .type = '4', .mode = 0660, .device_major = 8, .device_minor = 1})});
  EXPECT_EQ(Stat("d").st_mode, S_IFDIR | 02750u);
  EXPECT_EQ(Stat("d").st_uid, 1000u);
  EXPECT_EQ(Stat("d").st_mtim.tv_sec, 77);
  EXPECT_EQ(Stat("d/f").st_mode, S_IFREG | 06755u);
  EXPECT_EQ(Stat("d/f").st_gid, 2000u);
  EXPECT_EQ(Stat("d/f").st_mtim.tv_sec, 88);
  EXPECT_EQ(Read("d/f"), "content");
  EXPECT_EQ(Stat("s").st_mode & S_IFMT, static_cast<mode_t>(S_IFLNK));
  EXPECT_EQ(Stat("s").st_uid, 5u);
  EXPECT_EQ(Stat("s").st_mtim.tv_sec, 99);
  EXPECT_EQ(Stat("h").st_ino, Stat("d/f").st_ino);
  EXPECT_EQ(Stat("p").st_mode, S_IFIFO | 0620u);
  EXPECT_EQ(Stat("p").st_uid, 7u);
  EXPECT_EQ(Stat("c").st_rdev, makedev(1, 3));
  EXPECT_EQ(Stat("b").st_mode, S_IFBLK | 0660u);
}

TEST_F(UnpackTest, StatsCountFilesAndTheirSpace) {
  const auto stats = Unpack(
      {Directory("d/"), File("d/a", std::string(5000, 'x')), File("d/b", ""), Link("l", "d/a")});
  ASSERT_TRUE(stats.ok()) << stats.status();
  EXPECT_EQ(stats->inodes, 3);
  EXPECT_EQ(stats->size_bytes, 4096 + 8192);
}

TEST_F(UnpackTest, FilesInASetgidDirectoryKeepTheirOwnGroup) {
  UnpackOk({TarBytes({.path = "d/", .type = '5', .mode = 02755, .gid = 50}), File("d/f", ""),
            Directory("d/sub/")});
  EXPECT_EQ(Stat("d/f").st_gid, 0u);
  EXPECT_EQ(Stat("d/sub").st_gid, 0u);
  EXPECT_EQ(Stat("d/sub").st_mode & 07777, 0755u);
}

TEST_F(UnpackTest, AbsoluteNamesAndDotsAreBelowTheRoot) {
  UnpackOk({File("/abs", "1"), File("./dot", "2"), File(".//x/./y", "3")});
  EXPECT_EQ(Read("abs"), "1");
  EXPECT_EQ(Read("dot"), "2");
  EXPECT_EQ(Read("x/y"), "3");
}

TEST_F(UnpackTest, RootEntrySetsTheLayersRoot) {
  UnpackOk(
      {TarBytes({.path = "./", .type = '5', .mode = 0711, .uid = 3, .mtime = 55}), File("f", "")});
  EXPECT_EQ(Stat(".").st_mode & 07777, 0711u);
  EXPECT_EQ(Stat(".").st_uid, 3u);
  EXPECT_EQ(Stat(".").st_mtim.tv_sec, 55);
}

TEST_F(UnpackTest, MissingParentsAreMadeAndReported) {
  UnpackOk({File("a/b/c", "x"), File("a/b/d", "y")});
  EXPECT_EQ(Stat("a/b").st_mode & 07777, 0755u);
  EXPECT_THAT(needs_.directories, ElementsAre("a", "a/b"));
}

TEST_F(UnpackTest, DirectoryEntryAfterItsContentStillCounts) {
  UnpackOk({File("a/f", "x"),
            TarBytes({.path = "a/", .type = '5', .mode = 0700, .uid = 9, .mtime = 44})});
  EXPECT_EQ(Stat("a").st_mode & 07777, 0700u);
  EXPECT_EQ(Stat("a").st_uid, 9u);
  EXPECT_EQ(Stat("a").st_mtim.tv_sec, 44);
  EXPECT_EQ(Read("a/f"), "x");
}

struct Escape {
  std::string name;
  std::vector<std::string> entries;
};
void PrintTo(const Escape& escape, std::ostream* out) { *out << escape.name; }
class EscapeTest : public UnpackTest, public testing::WithParamInterface<Escape> {};

TEST_P(EscapeTest, IsRefusedOrStaysInside) {
  // TearDown looks for what got out; /etc/berth-escape is what the absolute ones aim at.
  (void)Unpack(GetParam().entries);
  struct stat st;
  EXPECT_NE(::lstat("/etc/berth-escape", &st), 0);
  EXPECT_NE(::lstat("/tmp/berth-escape", &st), 0);
}

INSTANTIATE_TEST_SUITE_P(
    All, EscapeTest,
    testing::Values(
        Escape{"DotDot", {File("../escape", "x")}},
        Escape{"DotDotInside", {File("a/../../escape", "x")}},
        Escape{"DotDotDirectory", {Directory("../")}},
        Escape{"SymlinkUp", {Symlink("s", ".."), File("s/escape", "x")}},
        Escape{"SymlinkAbsolute", {Symlink("s", "/etc"), File("s/berth-escape", "x")}},
        Escape{"SymlinkChain",
               {Symlink("a", "b"), Symlink("b", "/tmp"), File("a/berth-escape", "x")}},
        Escape{
            "SymlinkSwap",
            {Directory("d/"), File("d/1", ""), Symlink("d", "/tmp"), File("d/berth-escape", "x")}},
        Escape{"LastIsSymlink", {Symlink("f", "/etc/berth-escape"), File("f", "x")}},
        Escape{"DirectoryOverSymlink",
               {Symlink("d", "/tmp"), Directory("d/"), File("d/berth-escape", "x")}},
        Escape{"HardLinkUp", {Link("h", "../../../etc/passwd"), File("h", "x")}},
        Escape{"HardLinkThroughSymlink", {Symlink("s", "/etc"), Link("h", "s/passwd")}},
        Escape{"WhiteoutUp", {File("../.wh.layer0", "")}},
        Escape{"WhiteoutOfDotDot", {File("d/.wh...", "")}},
        Escape{"WhiteoutThroughSymlink", {Symlink("s", "/tmp"), File("s/.wh.berth-escape", "")}},
        Escape{"OpaqueThroughSymlink", {Symlink("s", "/tmp"), File("s/.wh..wh..opq", "")}}),
    [](const auto& info) { return info.param.name; });

TEST_F(UnpackTest, HardLinkOutOfTheLayerIsRefused) {
  EXPECT_EQ(Refusal({Link("h", "../../etc/passwd")}), absl::StatusCode::kInvalidArgument);
  EXPECT_FALSE(Exists("h"));
}

TEST_F(UnpackTest, HardLinkToASymlinkLinksTheLink) {
  UnpackOk({Symlink("s", "/etc/passwd"), Link("h", "s")});
  EXPECT_EQ(Stat("h").st_ino, Stat("s").st_ino);
}

TEST_F(UnpackTest, HardLinkToAWhiteoutIsRefused) {
  EXPECT_EQ(Refusal({File(".wh.gone", ""), Link("h", "gone")}), absl::StatusCode::kInvalidArgument);
}

TEST_F(UnpackTest, HardLinkToADirectoryIsRefused) {
  EXPECT_EQ(Refusal({Directory("d/"), Link("h", "d")}), absl::StatusCode::kInvalidArgument);
}

TEST_F(UnpackTest, HardLinkToItselfAloneIsRefused) {
  EXPECT_EQ(Refusal({Link("h", "h")}), absl::StatusCode::kInvalidArgument);
}

TEST_F(UnpackTest, HardLinksIntoOtherDirectories) {
  UnpackOk({Directory("a/"), Directory("a/b/"), File("a/b/f", "x"), Directory("c/"),
            Link("c/1", "a/b/f"), Link("c/2", "a/b/f"), Link("a/3", "c/1"), Symlink("s", "a/b"),
            Link("c/4", "s/f")});
  for (const char* name : {"c/1", "c/2", "a/3", "c/4"})
    EXPECT_EQ(Stat(name).st_ino, Stat("a/b/f").st_ino) << name;
}

TEST_F(UnpackTest, HardLinkToItselfKeepsTheFile) {
  UnpackOk({File("f", "x"), Link("f", "f")});
  EXPECT_EQ(Read("f"), "x");
}

TEST_F(UnpackTest, ParentsMayBeSymlinksOfTheSameLayer) {
  UnpackOk({Directory("usr/"), Directory("usr/lib/"), Symlink("lib", "usr/lib"), File("lib/x", "1"),
            Symlink("abs", "/usr/lib"), File("abs/y", "2")});
  EXPECT_EQ(Read("usr/lib/x"), "1");
  EXPECT_EQ(Read("usr/lib/y"), "2");
}

TEST_F(UnpackTest, LastEntryOfANameWins) {
  UnpackOk({File("f", "long content"), Link("other", "f"), File("f", "new")});
  EXPECT_EQ(Read("f"), "new");
  EXPECT_EQ(Read("other"), "long content");  // a name of the old file: it was not written into
  UnpackOk({Directory("d/"), File("d/x", ""), File("d", "file now")});
  EXPECT_EQ(Read("d"), "file now");
  UnpackOk({Directory("d/"), File("d/y", "dir again")});
  EXPECT_EQ(Read("d/y"), "dir again");
  UnpackOk({Symlink("d", "elsewhere")});
  EXPECT_TRUE(S_ISLNK(Stat("d").st_mode));
  UnpackOk({TarBytes({.path = "d", .type = '6'})});
  EXPECT_TRUE(S_ISFIFO(Stat("d").st_mode));
}

TEST_F(UnpackTest, DirectoryThatWasReplacedInBetweenIsMadeAnew) {
  EXPECT_EQ(Refusal({Directory("d/"), File("d/1", ""), File("d", "file"), File("d/2", "")}),
            absl::StatusCode::kInvalidArgument);
  UnpackOk(
      {Directory("e/"), File("e/1", ""), File("e", "file"), Directory("e/"), File("e/2", "x")});
  EXPECT_THAT(Names("e"), ElementsAre("2"));
}

TEST_F(UnpackTest, WhiteoutsTakeOverlaysForm) {
  UnpackOk({Directory("d/"), File("d/.wh.gone", ""), File(".wh.top", "content means nothing")});
  EXPECT_TRUE(IsWhiteout("d/gone"));
  EXPECT_TRUE(IsWhiteout("top"));
  EXPECT_FALSE(Exists("d/.wh.gone"));
}

TEST_F(UnpackTest, WhiteoutAndEntryOfOneNameInAnyOrder) {
  UnpackOk({File(".wh.f1", ""), File("f1", "x"), File("f2", "y"), File(".wh.f2", "")});
  EXPECT_EQ(Read("f1"), "x");
  EXPECT_EQ(Read("f2"), "y");
  UnpackOk({File(".wh.d1", ""), Directory("d1/"), Directory("d2/"), File(".wh.d2", ""),
            File(".wh.d3", ""), File("d3/x", "")});
  for (const char* name : {"d1", "d2", "d3"}) {
    EXPECT_TRUE(S_ISDIR(Stat(name).st_mode)) << name;
    EXPECT_TRUE(IsOpaque(name)) << name;
  }
}

TEST_F(UnpackTest, OpaqueDirectories) {
  UnpackOk({Directory("d/"), File("d/.wh..wh..opq", ""), File("d/x", ""),
            File("implied/.wh..wh..opq", "")});
  EXPECT_TRUE(IsOpaque("d"));
  EXPECT_TRUE(IsOpaque("implied"));
  EXPECT_THAT(Names("d"), ElementsAre("x"));
}

TEST_F(UnpackTest, OpaqueRootIsTold) {
  UnpackOk({File("f", ""), File(".wh..wh..opq", "")});
  EXPECT_TRUE(opaque_root_);
  EXPECT_TRUE(IsOpaque("."));
  NewLayer();
  UnpackOk({Directory("d/"), File("d/.wh..wh..opq", "")});
  EXPECT_FALSE(opaque_root_);
}

TEST_F(UnpackTest, OddWhiteoutsAreRefused) {
  for (const char* name : {".wh.", ".wh..", ".wh...", "d/.wh.x/y"}) {
    EXPECT_EQ(Refusal({File(name, "")}), absl::StatusCode::kInvalidArgument) << name;
  }
}

TEST_F(UnpackTest, AufsMetadataIsSkipped) {
  UnpackOk({File(".wh..wh.aufs", "x"), Directory(".wh..wh.plnk/")});
  EXPECT_THAT(Names("."), IsEmpty());
}

TEST_F(UnpackTest, OverlaysOwnWhiteoutsInTheArchiveAreRefused) {
  EXPECT_EQ(Refusal({TarBytes({.path = "c", .type = '3'})}), absl::StatusCode::kInvalidArgument);
}

TEST_F(UnpackTest, XattrsThatAreKeptAndDropped) {
  const std::string capability(
      "\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00", 20);
  UnpackOk(
      {PaxBytes({{"SCHILY.xattr.security.capability", capability},
                 {"SCHILY.xattr.user.note", "hello"},
                 {"SCHILY.xattr.user.overlay.opaque", "y"},
                 {"SCHILY.xattr.trusted.overlay.redirect", "/etc"},
                 {"SCHILY.xattr.security.selinux", "label"}}),
       TarBytes({.path = "f", .uid = 1000}),
       PaxBytes({{"SCHILY.xattr.trusted.overlay.opaque", "y"}, {"SCHILY.xattr.user.d", "dir"}}),
       Directory("d/")});
  EXPECT_EQ(Xattr("f", "security.capability"), capability);
  EXPECT_EQ(Xattr("f", "user.note"), "hello");
  EXPECT_EQ(Xattr("f", "user.overlay.opaque"), "(none)");
  EXPECT_EQ(Xattr("f", "trusted.overlay.redirect"), "(none)");
  EXPECT_EQ(Xattr("f", "security.selinux"), "(none)");
  EXPECT_EQ(Xattr("d", "user.d"), "dir");
  EXPECT_FALSE(IsOpaque("d"));
}

TEST_F(UnpackTest, LimitsOfDepthNamesAndFiles) {
  std::string deep;
  for (int i = 0; i < 1025; ++i) deep += "d/";
  constexpr auto kTooMuch = absl::StatusCode::kResourceExhausted;
  EXPECT_EQ(Refusal({PaxBytes({{"path", deep + "f"}}), File("x", "")}), kTooMuch);
  EXPECT_EQ(Refusal({PaxBytes({{"path", std::string(256, 'n')}}), File("x", "")}), kTooMuch);
  EXPECT_EQ(Refusal({PaxBytes({{"path", std::string(5000, '/') + "n"}}), File("x", "")}), kTooMuch);
  EXPECT_EQ(Refusal({File("1", ""), File("2", ""), File("3", "")}, {.inodes = 2}), kTooMuch);
  EXPECT_EQ(Refusal({File("4", ""), Link("5", "4"), Link("6", "4")}, {.entries = 2}), kTooMuch);
  EXPECT_EQ(Refusal({File("7", "1234"), File("8", "1234")}, {.bytes = 7}), kTooMuch);
}

TEST_F(UnpackTest, LimitsNameTheEntry) {
  const auto stats = Unpack({File("fits", ""), File("d/one-too-many", "")}, {.inodes = 2});
  EXPECT_THAT(std::string(stats.status().message()), HasSubstr("d/one-too-many"));
}

TEST_F(UnpackTest, DirectoriesUpToTheLimitOfDepth) {
  std::string deep;
  std::vector<std::string> entries;
  for (int i = 0; i < 1024; ++i) {
    deep += "d/";
    entries.push_back(PaxBytes({{"path", deep}}) +
                      TarBytes({.path = "x", .type = '5', .mtime = 1000 + i}));
  }
  entries.push_back(PaxBytes({{"path", deep + "f"}}) + File("x", "bottom"));
  // Back to the top, so that all directories are left, and once more down.
  entries.push_back(File("top", ""));
  entries.push_back(PaxBytes({{"path", deep + "g"}}) + File("x", "again"));
  UnpackOk(entries);
  EXPECT_EQ(Read(deep + "g"), "again");
  EXPECT_EQ(Stat("d").st_mtim.tv_sec, 1000);
  EXPECT_EQ(Stat(deep).st_mtim.tv_sec, 1000 + 1023);
}

TEST_F(UnpackTest, DirectoriesKeepTheirTimesHoweverTheyAreCrossed) {
  const auto directory = [](const std::string& path, int64_t mtime) {
    return TarBytes({.path = path, .type = '5', .mtime = mtime});
  };
  UnpackOk({directory("a/", 11), directory("a/b/", 12), File("a/b/1", ""), directory("c/", 13),
            File("a/b/2", ""), File("c/1", ""), File("a/3", ""), Symlink("s", "a/b"),
            File("s/4", ""), directory("a/b/e/", 14), File("top", ""), File("a/b/1", "anew")});
  EXPECT_EQ(Stat("a").st_mtim.tv_sec, 11);
  EXPECT_EQ(Stat("a/b").st_mtim.tv_sec, 12);
  EXPECT_EQ(Stat("c").st_mtim.tv_sec, 13);
  EXPECT_EQ(Stat("a/b/e").st_mtim.tv_sec, 14);
}

TEST_F(UnpackTest, SetgidDirectoryOfRootsGroupHandsNothingDown) {
  UnpackOk({TarBytes({.path = "d/", .type = '5', .mode = 02755}), Directory("d/sub/")});
  EXPECT_EQ(Stat("d/sub").st_mode & 07777, 0755u);
}

TEST_F(UnpackTest, SymlinksToWhatOnlyLayersBelowHave) {
  UnpackOk({Symlink("lib", "usr/lib"), File("lib/x", "1"), Directory("opt/"),
            Symlink("opt/up", "../../srv"), File("opt/up/y", "2"), Symlink("loop", "loop")});
  EXPECT_EQ(Read("usr/lib/x"), "1");
  EXPECT_EQ(Read("srv/y"), "2");
  EXPECT_THAT(needs_.directories, ElementsAre("usr", "usr/lib", "srv"));
  EXPECT_EQ(Refusal({File("loop/f", "")}), absl::StatusCode::kInvalidArgument);
}

TEST_F(UnpackTest, HolesStayHoles) {
  // GNU's old form: 1 MiB with "begin" at 0 and "end" before the end.
  std::string header = TarBytes({.path = "sparse",
                                 .type = 'S',
                                 .content = "beginend",
                                 .magic = absl::string_view("ustar  \0", 8)});
  testing_image::PutSparse(header, {{0, 5}, {(1 << 20) - 4, 3}}, 1 << 20);
  UnpackOk({header});
  const struct stat st = Stat("sparse");
  EXPECT_EQ(st.st_size, 1 << 20);
  EXPECT_LT(st.st_blocks * 512, 64 << 10);
  std::string expected(1 << 20, '\0');
  expected.replace(0, 5, "begin").replace((1 << 20) - 4, 3, "end");
  EXPECT_EQ(ReadFileAt(AT_FDCWD, Path("sparse"), 2 << 20).value_or(""), expected);
}

TEST_F(UnpackTest, ErrorsNameTheEntryWithoutItsControlCharacters) {
  const auto stats = Unpack({File("a\x1b[2J/../b", "")});
  EXPECT_THAT(std::string(stats.status().message()), HasSubstr("the path leads out of the layer"));
  EXPECT_EQ(stats.status().message().find('\x1b'), absl::string_view::npos);
}

TEST_F(UnpackTest, OverlayfsShowsTheMergedTree) {
  UnpackOk({Directory("keep/"), File("keep/old", "old"), Directory("wiped/"), File("wiped/old", ""),
            File("gone", ""), Directory("replaced/"), File("replaced/old", "")});
  const std::string lower = root_path_;
  NewLayer();
  UnpackOk({Directory("keep/"), File("keep/new", "new"), Directory("wiped/"),
            File("wiped/.wh..wh..opq", ""), File("wiped/new", ""), File(".wh.gone", ""),
            File(".wh.replaced", ""), Directory("replaced/"), File("replaced/new", "")});
  const std::string upper = root_path_;
  NewLayer();
  ASSERT_EQ(::unshare(CLONE_NEWNS), 0);  // this process only: each test is one of its own
  ASSERT_EQ(::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0);
  const std::string options = absl::StrCat("lowerdir=", upper, ":", lower);
  ASSERT_EQ(::mount("overlay", root_path_.c_str(), "overlay", MS_RDONLY, options.c_str()), 0);
  EXPECT_THAT(Names("."), UnorderedElementsAre("keep", "wiped", "replaced"));
  EXPECT_THAT(Names("keep"), UnorderedElementsAre("old", "new"));
  EXPECT_THAT(Names("wiped"), ElementsAre("new"));
  EXPECT_THAT(Names("replaced"), ElementsAre("new"));
  EXPECT_EQ(::umount(root_path_.c_str()), 0);
}

}  // namespace
}  // namespace berth
