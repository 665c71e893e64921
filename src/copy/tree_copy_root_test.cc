// Trees to archives and back, by root in directories of its own.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <thread>

#include "absl/strings/str_cat.h"
#include "src/base/status_macros.h"
#include "src/copy/copy_target.h"
#include "src/copy/tar_writer.h"
#include "src/copy/tree_archiver.h"
#include "src/copy/tree_extractor.h"
#include "src/image/pull/tar.h"

namespace berth {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

UniqueFd Open(const std::string& path) {
  return UniqueFd(open(path.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
}

class TreeCopyTest : public testing::Test {
 protected:
  TreeCopyTest() {
    umask(0);
    std::string dir = "/tmp/berth-copy-test-XXXXXX";
    dir_ = mkdtemp(dir.data()) != nullptr ? dir : "";
    for (const char* name : {"/from", "/to", "/outside"}) fs::create_directory(dir_ + name);
    std::ofstream(dir_ + "/outside/secret") << "secret";
  }
  ~TreeCopyTest() override { fs::remove_all(dir_); }

  void Write(const std::string& path, const std::string& text, mode_t mode = 0644) const {
    std::ofstream(dir_ + path) << text;
    chmod((dir_ + path).c_str(), mode);
  }
  std::string Read(const std::string& path) const {
    std::ifstream file(dir_ + path);
    return std::string(std::istreambuf_iterator<char>(file), {});
  }
  struct stat Stat(const std::string& path) const {
    struct stat st = {};
    EXPECT_EQ(lstat((dir_ + path).c_str(), &st), 0) << path;
    return st;
  }
  absl::StatusOr<std::string> Archive(const std::string& path, const std::string& name,
                                      const ArchiveLimits& limits = {}) const {
    std::string bytes;
    TarWriter writer([&](absl::string_view piece) {
      bytes.append(piece.data(), piece.size());
      return absl::OkStatus();
    });
    TreeArchiver archiver(writer, limits);
    RETURN_IF_ERROR(archiver.Add(Open(dir_ + path), name));
    RETURN_IF_ERROR(writer.Finish());
    return bytes;
  }
  absl::StatusOr<ExtractResult> Extract(const std::string& archive, const std::string& path,
                                        ExtractOptions options = {}) const {
    const UniqueFd base = Open(dir_ + path);
    TreeExtractor extractor(base.get(), std::move(options));
    TarReader reader(extractor);
    RETURN_IF_ERROR(reader.Feed(archive));
    RETURN_IF_ERROR(reader.Finish());
    return extractor.Finish();
  }
  static std::string Tar(const std::vector<std::pair<TarEntry, std::string>>& entries) {
    std::string bytes;
    TarWriter writer([&](absl::string_view piece) {
      bytes.append(piece.data(), piece.size());
      return absl::OkStatus();
    });
    for (auto [entry, content] : entries) {
      entry.size = static_cast<int64_t>(content.size());
      EXPECT_TRUE(writer.Begin(entry).ok());
      if (!content.empty()) {
        EXPECT_TRUE(writer.Data(content).ok());
      }
      EXPECT_TRUE(writer.End().ok());
    }
    EXPECT_TRUE(writer.Finish().ok());
    return bytes;
  }

  std::string dir_;
};

TEST_F(TreeCopyTest, KeepsWhatAFileIs) {
  fs::create_directories(dir_ + "/from/tree/sub");
  Write("/from/tree/file", "content", 0640);
  Write("/from/tree/program", "#!", 04755);
  Write("/from/tree/empty", "");
  const std::string long_name(200, 'n');
  Write("/from/tree/" + long_name, "long");
  ASSERT_EQ(link((dir_ + "/from/tree/file").c_str(), (dir_ + "/from/tree/sub/again").c_str()), 0);
  fs::create_symlink("../" + std::string(150, 't'), dir_ + "/from/tree/link");
  ASSERT_EQ(mkfifo((dir_ + "/from/tree/fifo").c_str(), 0600), 0);
  ASSERT_EQ(lchown((dir_ + "/from/tree/file").c_str(), 3000000, 4000000), 0);
  chmod((dir_ + "/from/tree/sub").c_str(), 0555);
  const timespec times[2] = {{1234567890, 987654321}, {1234567890, 987654321}};
  for (const char* name : {"/from/tree/file", "/from/tree/sub", "/from/tree/link"})
    ASSERT_EQ(utimensat(AT_FDCWD, (dir_ + name).c_str(), times, AT_SYMLINK_NOFOLLOW), 0);
  const auto archive = Archive("/from/tree", "tree");
  ASSERT_TRUE(archive.ok()) << archive.status();
  const auto result = Extract(*archive, "/to", {.set_ids = true});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(Read("/to/tree/file"), "content");
  EXPECT_EQ(Read("/to/tree/" + long_name), "long");
  const struct stat file = Stat("/to/tree/file");
  EXPECT_EQ(file.st_mode & 07777u, 0640u);
  EXPECT_EQ(file.st_uid, 3000000u);
  EXPECT_EQ(file.st_gid, 4000000u);
  EXPECT_EQ(file.st_mtim.tv_sec, 1234567890);
  EXPECT_EQ(file.st_mtim.tv_nsec, 987654321);
  EXPECT_EQ(file.st_nlink, 2u);
  EXPECT_EQ(file.st_ino, Stat("/to/tree/sub/again").st_ino);
  EXPECT_EQ(Stat("/to/tree/program").st_mode & 07777u, 04755u);
  EXPECT_EQ(Stat("/to/tree/sub").st_mode & 07777u, 0555u);
  EXPECT_EQ(Stat("/to/tree/sub").st_mtim.tv_nsec, 987654321);
  EXPECT_EQ(Stat("/to/tree/link").st_mtim.tv_nsec, 987654321);
  EXPECT_EQ(fs::read_symlink(dir_ + "/to/tree/link"), "../" + std::string(150, 't'));
  EXPECT_TRUE(S_ISFIFO(Stat("/to/tree/fifo").st_mode));
}

TEST_F(TreeCopyTest, MakesTheFilesTheAskersWithoutSetIdBits) {
  Write("/from/program", "#!", 06755);
  ASSERT_EQ(lchown((dir_ + "/from/program").c_str(), 1000, 1000), 0);
  chmod((dir_ + "/from/program").c_str(), 06755);
  const auto archive = Archive("/from/program", "program");
  ASSERT_TRUE(archive.ok());
  ASSERT_TRUE(Extract(*archive, "/to", {.owner = ExtractOptions::Owner{.uid = 0, .gid = 0}}).ok());
  EXPECT_EQ(Stat("/to/program").st_uid, 0u);
  EXPECT_EQ(Stat("/to/program").st_mode & 07777u, 0755u);
}

TEST_F(TreeCopyTest, PutsOtherNamesInFront) {
  fs::create_directories(dir_ + "/from/tree/sub");
  Write("/from/tree/sub/file", "x");
  ASSERT_EQ(link((dir_ + "/from/tree/sub/file").c_str(), (dir_ + "/from/tree/sub/twin").c_str()),
            0);
  const auto archive = Archive("/from/tree", "tree");
  ASSERT_TRUE(archive.ok());
  ASSERT_TRUE(Extract(*archive, "/to", {.strip = 1, .prefix = "other"}).ok());
  EXPECT_EQ(Read("/to/other/sub/file"), "x");
  EXPECT_EQ(Stat("/to/other/sub/twin").st_nlink, 2u);
  const auto contents = Archive("/from/tree", ".");
  ASSERT_TRUE(contents.ok());
  ASSERT_TRUE(Extract(*contents, "/to").ok());
  EXPECT_EQ(Read("/to/sub/file"), "x");
}

TEST_F(TreeCopyTest, LooksIntoNoMountedProc) {
  fs::create_directories(dir_ + "/from/tree/proc");
  ASSERT_EQ(mount("proc", (dir_ + "/from/tree/proc").c_str(), "proc", 0, nullptr), 0);
  const auto archive = Archive("/from/tree", "tree");
  umount2((dir_ + "/from/tree/proc").c_str(), MNT_DETACH);
  ASSERT_TRUE(archive.ok()) << archive.status();
  EXPECT_LT(archive->size(), 16384u);
}

TEST_F(TreeCopyTest, HasLimits) {
  fs::create_directories(dir_ + "/from/a/b/c/d");
  EXPECT_EQ(Archive("/from/a", "a", {.depth = 2}).status().code(),
            absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(Archive("/from/a", "a", {.entries = 2}).status().code(),
            absl::StatusCode::kResourceExhausted);
  const std::string three =
      Tar({{{.path = "a", .mode = 0644}, "xx"}, {{.path = "b", .mode = 0644}, "xx"}});
  EXPECT_EQ(Extract(three, "/to", {.max_entries = 1}).status().code(),
            absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(Extract(three, "/to", {.max_bytes = 3}).status().code(),
            absl::StatusCode::kResourceExhausted);
}

struct Hostile {
  const char* what;
  std::vector<std::pair<TarEntry, std::string>> entries;
};

TEST_F(TreeCopyTest, NothingLeadsOutOfTheDestination) {
  using Type = TarEntry::Type;
  const std::string outside = dir_ + "/outside";
  const std::vector<Hostile> archives = {
      {"a name", {{{.path = "../outside/made", .mode = 0644}, "x"}}},
      {"a name on its way", {{{.path = "a/../../outside/made", .mode = 0644}, "x"}}},
      {"a link and a file below it",
       {{{.type = Type::kSymlink, .path = "l", .link = outside, .mode = 0777}, ""},
        {{.path = "l/made", .mode = 0644}, "x"}}},
      {"a relative link and a file below it",
       {{{.type = Type::kSymlink, .path = "l", .link = "../outside", .mode = 0777}, ""},
        {{.path = "l/made", .mode = 0644}, "x"}}},
      {"a directory over a link",
       {{{.type = Type::kSymlink, .path = "l", .link = outside, .mode = 0777}, ""},
        {{.type = Type::kDirectory, .path = "l", .mode = 0755}, ""},
        {{.path = "l/made", .mode = 0644}, "x"}}},
      {"a hard link out",
       {{{.type = Type::kHardLink, .path = "h", .link = "../outside/secret"}, ""}}},
      {"a hard link through a link",
       {{{.type = Type::kSymlink, .path = "l", .link = outside, .mode = 0777}, ""},
        {{.type = Type::kHardLink, .path = "h", .link = "l/secret"}, ""}}},
  };
  for (const Hostile& hostile : archives) {
    EXPECT_FALSE(Extract(Tar(hostile.entries), "/to").ok()) << hostile.what;
    EXPECT_FALSE(fs::exists(outside + "/made")) << hostile.what;
    EXPECT_EQ(Stat("/outside/secret").st_nlink, 1u) << hostile.what;
    fs::remove_all(dir_ + "/to");
    fs::create_directory(dir_ + "/to");
  }
}

TEST_F(TreeCopyTest, ALinkIsReplacedAndNotWrittenThrough) {
  using Type = TarEntry::Type;
  const std::string archive = Tar(
      {{{.type = Type::kSymlink, .path = "l", .link = dir_ + "/outside/secret", .mode = 0777}, ""},
       {{.path = "l", .mode = 0600}, "mine"}});
  ASSERT_TRUE(Extract(archive, "/to").ok());
  EXPECT_EQ(Read("/outside/secret"), "secret");
  EXPECT_EQ(Read("/to/l"), "mine");
}

TEST_F(TreeCopyTest, DeviceNodesAreLeftOut) {
  const std::string archive = Tar({{{.type = TarEntry::Type::kBlockDevice,
                                     .path = "sda",
                                     .mode = 0666,
                                     .device_major = 8,
                                     .device_minor = 0},
                                    ""}});
  const auto result = Extract(archive, "/to");
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->skipped_devices, 1);
  EXPECT_EQ(result->first_skipped, "sda");
  EXPECT_FALSE(fs::exists(dir_ + "/to/sda"));
}

TEST_F(TreeCopyTest, KeepsALinkToADirectoryWhereADirectoryComes) {
  fs::create_directories(dir_ + "/to/usr/lib");
  fs::create_symlink("usr/lib", dir_ + "/to/lib");
  const std::string archive =
      Tar({{{.type = TarEntry::Type::kDirectory, .path = "lib", .mode = 0755}, ""},
           {{.path = "lib/x", .mode = 0644}, "x"}});
  ASSERT_TRUE(Extract(archive, "/to").ok());
  EXPECT_EQ(Read("/to/usr/lib/x"), "x");
}

TEST_F(TreeCopyTest, ADirectoryDoesNotMakeWay) {
  fs::create_directories(dir_ + "/to/x/y");
  const auto result = Extract(Tar({{{.path = "x", .mode = 0644}, "x"}}), "/to");
  EXPECT_EQ(result.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(result.status().message(), HasSubstr("a directory is in the way"));
  EXPECT_TRUE(fs::is_directory(dir_ + "/to/x/y"));
}

TEST_F(TreeCopyTest, WhatIsMountedIsWrittenInPlace) {
  Write("/from/hosts", "old");
  Write("/to/hosts", "");
  ASSERT_EQ(mount((dir_ + "/from/hosts").c_str(), (dir_ + "/to/hosts").c_str(), nullptr, MS_BIND,
                  nullptr),
            0);
  const auto result = Extract(Tar({{{.path = "hosts", .mode = 0600}, "new!"}}), "/to");
  umount2((dir_ + "/to/hosts").c_str(), MNT_DETACH);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(Read("/from/hosts"), "new!");
}

// S-14, S-46: somebody exchanges a directory for a link all the time.
TEST_F(TreeCopyTest, ASwappedDirectoryLeadsNowhere) {
  fs::create_directories(dir_ + "/to/d");
  fs::create_symlink(dir_ + "/outside", dir_ + "/to/link");
  std::atomic<bool> stop = false;
  std::thread swapper([&] {
    while (!stop) {
      syscall(SYS_renameat2, AT_FDCWD, (dir_ + "/to/d").c_str(), AT_FDCWD,
              (dir_ + "/to/link").c_str(), 2 /* RENAME_EXCHANGE */);
    }
  });
  std::vector<std::pair<TarEntry, std::string>> entries;
  for (int i = 0; i < 50; ++i) {
    entries.push_back({{.path = absl::StrCat("d/f", i), .mode = 0644}, "x"});
    entries.push_back({{.path = absl::StrCat("d/e", i, "/f"), .mode = 0644}, "x"});
  }
  const std::string archive = Tar(entries);
  int finished = 0;
  for (int i = 0; i < 300; ++i) {
    finished += Extract(archive, "/to").ok();
    const auto out = Archive("/to/d", "d");
    if (out.ok()) {
      EXPECT_EQ(out->find("secret"), std::string::npos);
    }
  }
  stop = true;
  swapper.join();
  int outside = 0;
  for (const auto& entry : fs::directory_iterator(dir_ + "/outside"))
    outside += !entry.path().empty();
  EXPECT_EQ(outside, 1);  // the secret alone
  RecordProperty("finished", finished);
}

// --- paths of a container

TEST_F(TreeCopyTest, ResolvesInsideOfTheRoot) {
  fs::create_directories(dir_ + "/from/etc/real");
  Write("/from/etc/real/file", "inside");
  fs::create_symlink("/etc/real", dir_ + "/from/absolute");
  fs::create_symlink("../../../../../../etc/real/file", dir_ + "/from/climbing");
  fs::create_symlink(dir_ + "/outside/secret", dir_ + "/from/out");
  const UniqueFd root = Open(dir_ + "/from");
  const auto read = [&](const std::string& path) -> std::string {
    const auto target = ResolveInRoot(root.get(), path, LastLink::kFollow);
    if (!target.ok() || !target->node.valid()) return "none";
    return fs::read_symlink(absl::StrCat("/proc/self/fd/", target->node.get())).string();
  };
  EXPECT_EQ(read("/absolute/file"), dir_ + "/from/etc/real/file");
  EXPECT_EQ(read("/climbing"), dir_ + "/from/etc/real/file");
  EXPECT_EQ(read("/absolute"), dir_ + "/from/etc/real");
  EXPECT_EQ(read("/out"), "none");
  EXPECT_EQ(read("/"), dir_ + "/from");
  EXPECT_FALSE(ResolveInRoot(root.get(), "/nope/file", LastLink::kFollow).ok());
  const auto kept = ResolveInRoot(root.get(), "/out", LastLink::kKeep);
  ASSERT_TRUE(kept.ok());
  EXPECT_TRUE(S_ISLNK(kept->st.st_mode));
}

TEST_F(TreeCopyTest, AnEndlessLinkIsAnError) {
  fs::create_symlink("b", dir_ + "/from/a");
  fs::create_symlink("a", dir_ + "/from/b");
  const UniqueFd root = Open(dir_ + "/from");
  EXPECT_EQ(ResolveInRoot(root.get(), "/a", LastLink::kFollow).status().code(),
            absl::StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace berth
