// What berth-monitor reads of a cgroup's files, and writes to them.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "src/base/unique_fd.h"
#include "src/runtime/monitor/cgroup.h"

namespace berth::monitor {
namespace {

class CgroupFilesTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "/cgroup-files-XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    path_ = pattern;
    directory_.reset(open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  }
  void TearDown() override { std::filesystem::remove_all(path_); }
  void Put(const std::string& name, const std::string& text) {
    std::ofstream(path_ + "/" + name) << text;
  }
  std::string path_;
  UniqueFd directory_;
};

TEST_F(CgroupFilesTest, CountsOomKillsOfV2) {
  Put("memory.events", "low 0\nhigh 0\nmax 12\noom 5\noom_kill 3\noom_group_kill 1\n");
  EXPECT_EQ(OomKills(directory_.get()), 3);
}

TEST_F(CgroupFilesTest, CountsOomKillsOfV1) {
  Put("memory.oom_control", "oom_kill_disable 9\nunder_oom 8\noom_kill 2\n");
  EXPECT_EQ(OomKills(directory_.get()), 2);
}

TEST_F(CgroupFilesTest, CountsNoOomKillsWhereNobodyCounts) {
  EXPECT_EQ(OomKills(-1), 0);
  EXPECT_EQ(OomKills(directory_.get()), 0);
  Put("memory.events", "low 0\n");
  EXPECT_EQ(OomKills(directory_.get()), 0);
}

TEST_F(CgroupFilesTest, KnowsAnEmptyCgroup) {
  EXPECT_FALSE(CgroupIsEmpty(directory_.get()));  // as one that was removed
  Put("cgroup.procs", "");
  EXPECT_TRUE(CgroupIsEmpty(directory_.get()));
  ASSERT_EQ(mkdirat(directory_.get(), "below", 0755), 0);
  EXPECT_FALSE(CgroupIsEmpty(directory_.get()));
  ASSERT_EQ(unlinkat(directory_.get(), "below", AT_REMOVEDIR), 0);
  Put("cgroup.procs", "1\n");
  EXPECT_FALSE(CgroupIsEmpty(directory_.get()));
}

TEST_F(CgroupFilesTest, KillsByTheKillFileWhereThereIsOne) {
  Put("cgroup.kill", "");
  Put("cgroup.procs", "");
  KillCgroup(directory_.get());
  std::ifstream file(path_ + "/cgroup.kill");
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(file), {}), "1");
}

}  // namespace
}  // namespace berth::monitor
