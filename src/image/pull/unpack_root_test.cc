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
#include "src/image/pull/adopt.h"
#include "src/image/pull/tar.h"
#include "src/image/testing/tar_writer.h"
#include "src/kernel/file.h"

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

std::string Link(const std::string& path, const std::string& target) {
  return TarBytes({.path = path, .type = '1', .link = target});
}
std::string Symlink(const std::string& path, const std::string& target) {
  return TarBytes({.path = path, .type = '2', .link = target});
}

class UnpackTest : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root: layers hold other users' files";
    ::umask(0);
    char name[] = "/tmp/berth-unpack-test-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    base_ = name;
    NewLayer();
  }

  void TearDown() override {
    if (base_.empty()) return;
    // What no test may ever bring about: a file beside the layers.
    const auto beside = ListDir(AT_FDCWD, base_);
    ASSERT_TRUE(beside.ok()) << beside.status();
    for (const std::string& entry : *beside) EXPECT_TRUE(entry.rfind("layer", 0) == 0) << entry;
    EXPECT_TRUE(RemoveTreeAt(AT_FDCWD, base_).ok());
  }

  void NewLayer() {
    root_path_ = absl::StrCat(base_, "/layer", layers_++);
    ASSERT_EQ(::mkdir(root_path_.c_str(), 0755), 0);
    root_ = UniqueFd(::open(root_path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    implied_.clear();
  }

  absl::StatusOr<UnpackStats> Unpack(const std::vector<std::string>& entries,
                                     const UnpackLimits& limits = {}) {
    Unpacker unpacker(root_.get(), limits);
    TarReader reader(unpacker);
    absl::Status status;
    for (const std::string& entry : entries) {
      if (status.ok()) status = reader.Feed(entry);
    }
    if (status.ok()) status = reader.Feed(TarEnd());
    if (status.ok()) status = reader.Finish();
    if (!status.ok()) return status;
    implied_ = unpacker.implied_directories();
    return unpacker.Finish();
  }

  void UnpackOk(const std::vector<std::string>& entries) {
    const auto stats = Unpack(entries);
    ASSERT_TRUE(stats.ok()) << stats.status();
  }

  absl::StatusCode Refusal(const std::vector<std::string>& entries,
                           const UnpackLimits& limits = {}) {
    return Unpack(entries, limits).status().code();
  }

  std::string Path(const std::string& name) { return root_path_ + "/" + name; }
  struct stat Stat(const std::string& name) {
    struct stat st = {};
    EXPECT_EQ(::lstat(Path(name).c_str(), &st), 0) << name;
    return st;
  }
  bool Exists(const std::string& name) {
    struct stat st;
    return ::lstat(Path(name).c_str(), &st) == 0;
  }
  std::string Read(const std::string& name) {
    return ReadFileAt(AT_FDCWD, Path(name)).value_or("(unreadable)");
  }
  std::string Xattr(const std::string& name, const char* attribute) {
    char value[256];
    const ssize_t n = ::lgetxattr(Path(name).c_str(), attribute, value, sizeof(value));
    return n < 0 ? "(none)" : std::string(value, static_cast<size_t>(n));
  }
  bool IsWhiteout(const std::string& name) {
    const struct stat st = Stat(name);
    return S_ISCHR(st.st_mode) && st.st_rdev == makedev(0, 0);
  }
  bool IsOpaque(const std::string& name) { return Xattr(name, "trusted.overlay.opaque") == "y"; }
  std::vector<std::string> Names(const std::string& directory) {
    return ListDir(AT_FDCWD, Path(directory)).value();
  }

  std::string base_, root_path_;
  int layers_ = 0;
  UniqueFd root_;
  std::vector<std::string> implied_;
};

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
  EXPECT_THAT(implied_, ElementsAre("a", "a/b"));
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
  EXPECT_EQ(Refusal({Symlink("s", "/etc"), Link("h", "s/passwd")}), absl::StatusCode::kNotFound);
  EXPECT_FALSE(Exists("h"));
}

TEST_F(UnpackTest, HardLinkToASymlinkLinksTheLink) {
  UnpackOk({Symlink("s", "/etc/passwd"), Link("h", "s")});
  EXPECT_EQ(Stat("h").st_ino, Stat("s").st_ino);
}

TEST_F(UnpackTest, HardLinkToNothingOrAWhiteoutIsRefused) {
  EXPECT_EQ(Refusal({Link("h", "missing")}), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Refusal({File(".wh.gone", ""), Link("h", "gone")}), absl::StatusCode::kInvalidArgument);
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

TEST_F(UnpackTest, OpaqueRootIsRefused) {
  EXPECT_EQ(Refusal({File(".wh..wh..opq", "")}), absl::StatusCode::kUnimplemented);
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
  for (int i = 0; i < 300; ++i) deep += "d/";
  EXPECT_EQ(Refusal({PaxBytes({{"path", deep + "f"}}), File("x", "")}),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Refusal({PaxBytes({{"path", std::string(256, 'n')}}), File("x", "")}),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Refusal({PaxBytes({{"path", std::string(5000, '/') + "n"}}), File("x", "")}),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Refusal({File("1", ""), File("2", ""), File("3", "")}, {.inodes = 2}),
            absl::StatusCode::kResourceExhausted);
}

TEST_F(UnpackTest, ErrorsNameTheEntryWithoutItsControlCharacters) {
  const auto stats = Unpack({File("a\x1b[2J/../b", "")});
  EXPECT_THAT(std::string(stats.status().message()), HasSubstr("the path leads out of the layer"));
  EXPECT_EQ(stats.status().message().find('\x1b'), absl::string_view::npos);
}

TEST_F(UnpackTest, AdoptionTakesWhatTheTopmostLayerBelowShows) {
  UnpackOk({Directory("t/", 01777), Directory("hidden/", 0700), Directory("z/", 0711),
            Symlink("link", "t")});
  UniqueFd lowest = std::move(root_);
  NewLayer();
  UnpackOk({File(".wh.hidden", ""), TarBytes({.path = "z/", .type = '5', .mode = 0750, .uid = 8})});
  UniqueFd middle = std::move(root_);
  NewLayer();
  UnpackOk({File("t/f", ""), File("hidden/f", ""), File("z/f", ""), File("new/f", "")});
  ASSERT_TRUE(AdoptDirectories(root_.get(), implied_, {lowest.get(), middle.get()}).ok());
  EXPECT_EQ(Stat("t").st_mode & 07777, 01777u);
  EXPECT_EQ(Stat("hidden").st_mode & 07777, 0755u);
  EXPECT_EQ(Stat("z").st_mode & 07777, 0750u);
  EXPECT_EQ(Stat("z").st_uid, 8u);
  EXPECT_EQ(Stat("new").st_mode & 07777, 0755u);
  NewLayer();
  UnpackOk({File("link/f", "")});
  EXPECT_EQ(AdoptDirectories(root_.get(), implied_, {lowest.get(), middle.get()}).code(),
            absl::StatusCode::kUnimplemented);
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
