#include "src/sandbox/removal_queue.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>

#include "absl/time/clock.h"

namespace berth {
namespace {

namespace fs = std::filesystem;

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

TEST_F(RemovalQueueTest, RemovesOneAfterTheOtherAndPassesByWhatCannotBe) {
  const std::string first = Tree("first"), second = Tree("second"), file = directory_ + "/file";
  std::ofstream(file) << "no directory";
  auto queue = RemovalQueue::Start();
  ASSERT_TRUE(queue.ok()) << queue.status();
  (*queue)->Add(first);
  (*queue)->Add(file + "/below");
  (*queue)->Add(second);
  while (fs::exists(second)) absl::SleepFor(absl::Milliseconds(1));
  EXPECT_FALSE(fs::exists(first));
}

}  // namespace
}  // namespace berth
