#include "src/sandbox/removal_queue.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>

#include "absl/time/clock.h"

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
  while (fs::exists(second)) absl::SleepFor(absl::Milliseconds(1));
  EXPECT_FALSE(fs::exists(first));
  char line[1024] = {};
  EXPECT_GT(::pread(::fileno(written), line, sizeof line - 1, 0), 0);
  EXPECT_THAT(line, HasSubstr(file + "/below"));
  EXPECT_THAT(line, HasSubstr("Not a directory"));
  std::fclose(written);
  fs::remove(file);
  const std::string below = Tree("file/below");
  while (fs::exists(below)) absl::SleepFor(absl::Milliseconds(1));
}

}  // namespace
}  // namespace berth
