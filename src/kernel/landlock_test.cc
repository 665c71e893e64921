#include "src/kernel/landlock.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <functional>
#include <string>
#include <thread>

#include "src/base/unique_fd.h"
#include "src/kernel/file.h"

namespace berth {
namespace {

class LandlockTest : public testing::Test {
 protected:
  void SetUp() override {
    if (LandlockAbi() < 2) GTEST_SKIP() << "the kernel's Landlock ABI is " << LandlockAbi();
    char name[] = "/tmp/berth-landlock-test-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    base_ = name;
    for (const char* directory : {"/write/a", "/write/b", "/read", "/neither"})
      ASSERT_TRUE(MakeDirs(base_ + directory, 0755).ok());
    for (const char* file : {"/write/a/file", "/read/file", "/neither/file"})
      ASSERT_TRUE(ReplaceFileAt(AT_FDCWD, base_ + file, "content", 0644).ok());
  }
  void TearDown() override {
    if (!base_.empty()) {
      EXPECT_TRUE(RemoveTreeAt(AT_FDCWD, base_).ok());
    }
  }

  // In a thread of its own: a restriction cannot be undone.
  void Restricted(const std::function<void()>& work) {
    std::thread([&] {
      const UniqueFd write = *OpenDir(AT_FDCWD, base_ + "/write"),
                     read = *OpenDir(AT_FDCWD, base_ + "/read");
      ASSERT_EQ(::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
      const auto restricted = RestrictFileAccess(
          {{.directory = write.get(), .writable = true}, {.directory = read.get()}});
      ASSERT_TRUE(restricted.ok()) << restricted.status();
      ASSERT_TRUE(*restricted);
      work();
    }).join();
  }

  // The errno of open(2), 0 if it can.
  int Open(const std::string& path, int flags) {
    const UniqueFd fd(::open((base_ + path).c_str(), flags | O_CLOEXEC, 0644));
    return fd.valid() ? 0 : errno;
  }

  std::string base_;
};

TEST_F(LandlockTest, LeavesWhatUnpackingNeeds) {
  Restricted([&] {
    EXPECT_EQ(Open("/write/a/new", O_WRONLY | O_CREAT | O_EXCL), 0);
    EXPECT_EQ(Open("/write/a/file", O_WRONLY | O_TRUNC), 0);
    EXPECT_EQ(::mkdir((base_ + "/write/dir").c_str(), 0755), 0);
    EXPECT_EQ(::symlink("/etc", (base_ + "/write/link").c_str()), 0);
    EXPECT_EQ(::mkfifo((base_ + "/write/fifo").c_str(), 0644), 0);
    EXPECT_EQ(::link((base_ + "/write/a/file").c_str(), (base_ + "/write/b/file").c_str()), 0);
    EXPECT_EQ(::rename((base_ + "/write/b/file").c_str(), (base_ + "/write/moved").c_str()), 0);
    EXPECT_EQ(::chmod((base_ + "/write/a/file").c_str(), 0600), 0);
    EXPECT_EQ(::unlink((base_ + "/write/a/file").c_str()), 0);
  });
}

TEST_F(LandlockTest, LayersThatExistCanOnlyBeRead) {
  Restricted([&] {
    EXPECT_EQ(Open("/read/file", O_RDONLY), 0);
    EXPECT_EQ(Open("/read/file", O_WRONLY), EACCES);
    EXPECT_EQ(Open("/read/new", O_WRONLY | O_CREAT), EACCES);
    EXPECT_EQ(::unlink((base_ + "/read/file").c_str()), -1);
  });
  EXPECT_EQ(Open("/read/file", O_WRONLY), 0);
}

TEST_F(LandlockTest, NothingElseCanBeOpened) {
  Restricted([&] {
    EXPECT_EQ(Open("/neither/file", O_RDONLY), EACCES);
    EXPECT_EQ(Open("/neither", O_RDONLY | O_DIRECTORY), EACCES);
    EXPECT_NE(::link((base_ + "/neither/file").c_str(), (base_ + "/write/out").c_str()), 0);
  });
  EXPECT_EQ(Open("/neither/file", O_RDONLY), 0);
}

TEST_F(LandlockTest, NoPortCanBeBound) {
  if (LandlockAbi() < 4) GTEST_SKIP() << "the kernel's Landlock knows no network";
  Restricted([&] {
    const UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), -1);
    EXPECT_EQ(errno, EACCES);
  });
}

}  // namespace
}  // namespace berth
