#include "src/kernel/file.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "absl/strings/str_cat.h"

namespace berth {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

class FileTest : public testing::Test {
 protected:
  void SetUp() override {
    path_ = testing::TempDir() + "/berth-file-XXXXXX";
    ASSERT_NE(mkdtemp(path_.data()), nullptr);
    directory_.reset(open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  }
  void TearDown() override { std::filesystem::remove_all(path_); }
  int at() const { return directory_.get(); }
  std::string Path(const std::string& name) const { return path_ + "/" + name; }
  void Put(const std::string& name, const std::string& text) const {
    std::ofstream(Path(name)) << text;
  }
  mode_t ModeOf(const std::string& name) const {
    struct stat info = {};
    EXPECT_EQ(stat(Path(name).c_str(), &info), 0) << name;
    return info.st_mode & 07777;
  }
  std::string path_;
  UniqueFd directory_;
};

TEST_F(FileTest, OpenedDescriptorsAreCloseOnExec) {
  Put("a", "");
  const absl::StatusOr<UniqueFd> file = OpenFile(at(), "a", O_RDONLY),
                                 directory = OpenDir(AT_FDCWD, path_);
  ASSERT_TRUE(file.ok() && directory.ok());
  EXPECT_EQ(fcntl(file->get(), F_GETFD), FD_CLOEXEC);
  EXPECT_EQ(fcntl(directory->get(), F_GETFD), FD_CLOEXEC);
}

TEST_F(FileTest, OpenDirRefusesAFile) {
  Put("a", "");
  const absl::Status status = OpenDir(at(), "a").status();
  EXPECT_THAT(std::string(status.message()), HasSubstr("open a: Not a directory"));
  EXPECT_EQ(OpenDir(at(), "none").status().code(), absl::StatusCode::kNotFound);
}

TEST_F(FileTest, ReadsUpToTheLimitAndNotAByteMore) {
  Put("ten", "0123456789");
  EXPECT_EQ(ReadFileAt(at(), "ten", 10).value_or("?"), "0123456789");
  const absl::Status longer = ReadFileAt(at(), "ten", 9).status();
  EXPECT_EQ(longer.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(longer.message(), "read ten: longer than 9 bytes");
  Put("large", std::string(100000, 'x'));
  EXPECT_EQ(ReadFileAt(at(), "large").value_or("").size(), 100000u);
}

TEST_F(FileTest, MakeDirsMakesParentsAndGivesTheLastItsModeWhateverTheUmask) {
  const mode_t old = umask(077);
  EXPECT_TRUE(MakeDirs(Path("a/b/c"), 0711).ok());
  umask(old);
  EXPECT_EQ(ModeOf("a/b/c"), 0711u);
  EXPECT_TRUE(MakeDirs(Path("a/b/c"), 0700).ok());
  EXPECT_EQ(ModeOf("a/b/c"), 0711u) << "what is there is left as it is";
}

TEST_F(FileTest, MakeDirsNamesWhatIsInTheWay) {
  Put("file", "");
  const absl::Status status = MakeDirs(Path("file/sub"), 0755);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("mkdir " + Path("file/sub") + ": Not a directory"));
}

TEST_F(FileTest, OverwriteKeepsTheInodeAndNothingOfWhatWasThere) {
  for (const char* content : {"long content", "short", "", "and long once more"}) {
    EXPECT_TRUE(OverwriteFileAt(at(), "file", content, 0640).ok());
    EXPECT_EQ(*ReadFileAt(at(), "file"), content);
    EXPECT_EQ(ModeOf("file"), 0640u);
    ASSERT_TRUE(link(Path("file").c_str(), Path("same").c_str()) == 0 || errno == EEXIST);
    EXPECT_EQ(*ReadFileAt(at(), "same"), content);
  }
  EXPECT_TRUE(OverwriteFileAt(at(), "file", "x", 0600).ok());
  EXPECT_EQ(ModeOf("same"), 0600u);
  ASSERT_EQ(symlink("file", Path("link").c_str()), 0);
  EXPECT_FALSE(OverwriteFileAt(at(), "link", "y", 0600).ok());
  EXPECT_EQ(*ReadFileAt(at(), "file"), "x");
}

TEST_F(FileTest, WriteFileNeedsTheFileAndNamesTheValue) {
  EXPECT_EQ(WriteFileAt(at(), "none", "1").code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(access(Path("none").c_str(), F_OK), -1);
  const absl::Status full = WriteFileAt(AT_FDCWD, "/dev/full", "12");
  EXPECT_EQ(full.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(full.message(), "write \"12\" to /dev/full: No space left on device");
}

TEST_F(FileTest, ReplaceSwapsTheContentAndLeavesNoTemporary) {
  Put("a", "old");
  Put("a.tmp", "of a crash");
  const mode_t old = umask(077);
  EXPECT_TRUE(ReplaceFileAt(at(), "a", "new", 0644).ok());
  umask(old);
  EXPECT_EQ(ReadFileAt(at(), "a").value_or(""), "new");
  EXPECT_EQ(ModeOf("a"), 0644u);
  EXPECT_THAT(*ListDir(at(), "."), ElementsAre("a"));
}

TEST_F(FileTest, ReplaceDoesNotWriteThroughALink) {
  Put("victim", "untouched");
  ASSERT_EQ(symlink("victim", Path("a").c_str()), 0);
  ASSERT_EQ(symlink("victim", Path("a.tmp").c_str()), 0);
  EXPECT_TRUE(ReplaceFileAt(at(), "a", "new", 0600).ok());
  EXPECT_EQ(ReadFileAt(at(), "victim").value_or(""), "untouched");
  EXPECT_FALSE(std::filesystem::is_symlink(Path("a")));
}

TEST_F(FileTest, ListsNamesWithoutTheDots) {
  Put("a", "");
  Put(".b", "");
  ASSERT_TRUE(MakeDirs(Path("c"), 0755).ok());
  EXPECT_THAT(*ListDir(at(), "."), UnorderedElementsAre("a", ".b", "c"));
  EXPECT_EQ(ListDir(at(), "none").status().code(), absl::StatusCode::kNotFound);
}

TEST_F(FileTest, ListsDirectoriesThatAreNoLinks) {
  Put("a", "");
  ASSERT_TRUE(MakeDirs(Path("b"), 0755).ok());
  ASSERT_TRUE(MakeDirs(Path(".c"), 0755).ok());
  ASSERT_EQ(symlink("b", Path("d").c_str()), 0);
  EXPECT_THAT(*ListSubdirectories(at(), "."), UnorderedElementsAre("b", ".c"));
  EXPECT_EQ(ListSubdirectories(at(), "none").status().code(), absl::StatusCode::kNotFound);
}

TEST_F(FileTest, RemoveTreeTakesFilesLinksAndDirectories) {
  std::filesystem::create_directories(Path("tree/a/b"));
  Put("tree/a/b/file", "x");
  Put("keep", "kept");
  std::filesystem::create_directories(Path("outside"));
  Put("outside/file", "kept");
  ASSERT_EQ(symlink("../keep", Path("tree/to-file").c_str()), 0);
  ASSERT_EQ(symlink("../outside", Path("tree/to-directory").c_str()), 0);
  ASSERT_EQ(mkfifo(Path("tree/fifo").c_str(), 0600), 0);
  EXPECT_TRUE(RemoveTreeAt(at(), "tree").ok());
  EXPECT_THAT(*ListDir(at(), "."), UnorderedElementsAre("keep", "outside"));
  EXPECT_EQ(ReadFileAt(at(), "outside/file").value_or(""), "kept");
}

TEST_F(FileTest, RemoveTreeOfAFileALinkOrNothing) {
  Put("file", "");
  ASSERT_EQ(symlink("/", Path("link").c_str()), 0);
  EXPECT_TRUE(RemoveTreeAt(at(), "file").ok());
  EXPECT_TRUE(RemoveTreeAt(at(), "link").ok());
  EXPECT_TRUE(RemoveTreeAt(at(), "nothing").ok());
  EXPECT_THAT(*ListDir(at(), "."), IsEmpty());
}

// A container can nest directories as deep as it likes; whoever deletes them has few descriptors
// and one stack.
TEST_F(FileTest, RemoveTreeIsNotStoppedByDepth) {
  constexpr int kDepth = 20000;
  int parent = dup(at());
  for (int i = 0; i < kDepth; ++i) {
    ASSERT_EQ(mkdirat(parent, "d", 0755), 0);
    ASSERT_EQ(mknodat(parent, "f", S_IFREG | 0600, 0), 0);
    const int child = openat(parent, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    ASSERT_GE(child, 0);
    close(parent);
    parent = child;
  }
  close(parent);
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit few = {.rlim_cur = 128, .rlim_max = before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &few), 0);
  const absl::Status removed = RemoveTreeAt(at(), "d");
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_TRUE(removed.ok()) << removed;
  EXPECT_THAT(*ListDir(at(), "."), ElementsAre("f"));
}

TEST_F(FileTest, RemoveTreeStopsWhenItIsTold) {
  ASSERT_TRUE(MakeDirs(Path("tree/a"), 0755).ok());
  ASSERT_TRUE(MakeDirs(Path("tree/b"), 0755).ok());
  int asked = 0;
  EXPECT_TRUE(absl::IsCancelled(RemoveTreeAt(at(), "tree", [&] { return ++asked < 2; })));
  EXPECT_EQ(ListDir(at(), "tree")->size(), 1u);
}

TEST_F(FileTest, SetAsideLeavesADescriptorWhereNoHigherNumberIsAllowed) {
  UniqueFd aside = SetAside(UniqueFd(open("/dev/null", O_RDONLY | O_CLOEXEC)));
  EXPECT_GE(aside.get(), 1024);
  EXPECT_NE(fcntl(aside.get(), F_GETFD) & FD_CLOEXEC, 0);
  EXPECT_FALSE(SetAside(UniqueFd()).valid());
  rlimit before = {};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit low = {.rlim_cur = 1024, .rlim_max = before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &low), 0);
  const int number = open("/dev/null", O_RDONLY | O_CLOEXEC);
  const UniqueFd kept = SetAside(UniqueFd(number));
  EXPECT_EQ(kept.get(), number);
  EXPECT_NE(fcntl(number, F_GETFD), -1);
  EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
}

TEST_F(FileTest, RemoveTreeTakesManyDirectoriesAtOneLevel) {
  for (int i = 0; i < 300; ++i)
    std::filesystem::create_directories(Path(absl::StrCat("tree/", i, "/a/b/c")));
  EXPECT_TRUE(RemoveTreeAt(at(), "tree").ok());
  EXPECT_THAT(*ListDir(at(), "."), IsEmpty());
}

}  // namespace
}  // namespace berth
