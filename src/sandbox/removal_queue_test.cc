#include "src/sandbox/removal_queue.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>

#include "src/base/unique_fd.h"

namespace berth {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class RemovalQueueTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "/removal-XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    directory_ = pattern;
  }
  void TearDown() override { fs::remove_all(directory_); }
  std::string Tree(const std::string& name) {
    fs::create_directories(directory_ + "/" + name + "/a/b");
    std::ofstream(directory_ + "/" + name + "/a/file") << "x";
    return directory_ + "/" + name;
  }
  static void AwaitRemoval(const std::string& path) {
    const UniqueFd events(::inotify_init1(IN_CLOEXEC));
    ASSERT_GE(::inotify_add_watch(events.get(), fs::path(path).parent_path().c_str(), IN_DELETE),
              0);
    char event[4096];
    while (fs::exists(path)) ASSERT_GT(::read(events.get(), event, sizeof event), 0);
  }

  std::string directory_;
};

TEST_F(RemovalQueueTest, RemovesOneAfterTheOtherAndWhatCannotBeLater) {
  const std::string first = Tree("first"), second = Tree("second"), file = directory_ + "/file";
  std::ofstream(file) << "no directory";
  FILE* written = std::tmpfile();
  const Log log(LogLevel::kInfo, LogFormat::kText, ::fileno(written));
  auto queue = RemovalQueue::Start(log);
  ASSERT_TRUE(queue.ok()) << queue.status();
  (*queue)->Add(first);
  (*queue)->Add(file + "/below");
  (*queue)->Add(second);
  AwaitRemoval(second);
  EXPECT_FALSE(fs::exists(first));
  char line[1024] = {};
  EXPECT_GT(::pread(::fileno(written), line, sizeof line - 1, 0), 0);
  EXPECT_THAT(line, HasSubstr(file + "/below"));
  EXPECT_THAT(line, HasSubstr("Not a directory"));
  std::fclose(written);
  fs::remove(file);
  const std::string below = Tree("file/below");
  AwaitRemoval(below);
}

}  // namespace
}  // namespace berth
