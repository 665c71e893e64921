#include "src/sandbox/network/plugin_cgroups.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "src/kernel/bounded_run.h"

namespace berth {
namespace {

class PluginCgroupsRootTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root: makes cgroups";
    parent_ = absl::StrCat("/berth-plugins-test-", ::getpid());
    auto opened = PluginCgroups::Open(parent_, nullptr);
    ASSERT_TRUE(opened.ok()) << opened.status();
    cgroups_ = *std::move(opened);
  }
  void TearDown() override {
    if (cgroups_ == nullptr) return;
    EXPECT_TRUE(cgroups_->RemoveUnused().ok());
    EXPECT_EQ(Directories(), 0);
  }

  // Cgroups below the parent, in the hierarchy that has the most.
  int Directories() const {
    namespace fs = std::filesystem;
    const auto count = [](const std::string& path) {
      std::error_code ignored;
      int directories = 0;
      for (const auto& entry : fs::directory_iterator(path, ignored))
        directories += entry.is_directory(ignored) ? 1 : 0;
      return directories;
    };
    int most = count("/sys/fs/cgroup" + parent_);
    for (const auto& hierarchy : fs::directory_iterator("/sys/fs/cgroup"))
      most = std::max(most, count(hierarchy.path().string() + parent_));
    return most;
  }

  std::string parent_;
  std::unique_ptr<PluginCgroups> cgroups_;
};

TEST_F(PluginCgroupsRootTest, FewAreKeptHoweverManyWereUsedAtOnce) {
  std::vector<PluginCgroups::Slot> slots;
  for (int i = 0; i < 20; ++i) {
    auto slot = cgroups_->Take();
    ASSERT_TRUE(slot.ok()) << slot.status();
    slots.push_back(*std::move(slot));
  }
  EXPECT_EQ(Directories(), 20);
  for (PluginCgroups::Slot& slot : slots) cgroups_->GiveBack(std::move(slot));
  EXPECT_GT(Directories(), 0);
  EXPECT_LT(Directories(), 10);
}

TEST_F(PluginCgroupsRootTest, IsInOneHierarchyOnly) {
  auto slot = cgroups_->Take();
  ASSERT_TRUE(slot.ok()) << slot.status();
  EXPECT_EQ(slot->handle.tasks.size(), slot->handle.unified ? 0u : 1u);
  cgroups_->GiveBack(*std::move(slot));
}

TEST_F(PluginCgroupsRootTest, WhatAProgramLeftInASessionOfItsOwnIsKilled) {
  auto slot = cgroups_->Take();
  ASSERT_TRUE(slot.ok()) << slot.status();
  // It has its session when it is `sleep`: until then it ends with the program's process group.
  const std::string script =
      "setsid sleep 1000 & while read -r name </proc/$!/comm && [ \"$name\" != sleep ]; do :; done";
  const auto ran = RunBounded({.path = "/bin/sh",
                               .argv = {"sh", "-c", script},
                               .env = {"PATH=/usr/bin:/bin"},
                               .deadline = absl::Seconds(60),
                               .cgroup = &slot->handle});
  ASSERT_TRUE(ran.ok()) << ran.status();
  cgroups_->GiveBack(*std::move(slot));
  EXPECT_EQ(Directories(), 0);
}

TEST_F(PluginCgroupsRootTest, WhatADeadDaemonLeftIsRemovedAtTheNextStart) {
  ASSERT_TRUE(cgroups_->Take().ok());
  EXPECT_EQ(Directories(), 1);
  auto next = PluginCgroups::Open(parent_, nullptr);
  ASSERT_TRUE(next.ok()) << next.status();
  EXPECT_EQ(Directories(), 0);
}

// A frozen cgroup of v1 does what an uninterruptible wait does: a SIGKILL has no effect.
TEST_F(PluginCgroupsRootTest, WhatDoesNotDieIsLeftAlone) {
  namespace fs = std::filesystem;
  const std::string frozen = "/sys/fs/cgroup/freezer" + parent_ + "-frozen";
  if (!fs::exists("/sys/fs/cgroup/freezer/cgroup.procs"))
    GTEST_SKIP() << "needs the freezer of cgroup v1";
  auto slot = cgroups_->Take();
  ASSERT_TRUE(slot.ok()) << slot.status();
  const pid_t process = ::fork();
  if (process == 0) {
    for (;;) ::pause();
  }
  ASSERT_GT(process, 0);
  const std::string left = slot->handle.unified ? "/sys/fs/cgroup/unified" : "/sys/fs/cgroup/pids";
  std::ofstream(left + slot->path + "/cgroup.procs") << process;
  fs::create_directory(frozen);
  std::ofstream(frozen + "/cgroup.procs") << process;
  std::ofstream(frozen + "/freezer.state") << "FROZEN";

  auto next = PluginCgroups::Open(parent_, nullptr);
  EXPECT_TRUE(next.ok()) << next.status();
  if (next.ok()) {
    auto taken = (*next)->Take();
    EXPECT_TRUE(taken.ok()) << taken.status();
    if (taken.ok()) {
      EXPECT_NE(taken->path, slot->path);
      (*next)->GiveBack(*std::move(taken));
    }
    EXPECT_TRUE((*next)->RemoveUnused().ok());
  }

  std::ofstream(frozen + "/freezer.state") << "THAWED";
  int status = 0;
  EXPECT_EQ(::waitpid(process, &status, 0), process);
  EXPECT_TRUE(WIFSIGNALED(status)) << "it was killed while it was frozen";
  EXPECT_EQ(::rmdir(frozen.c_str()), 0);
  cgroups_->GiveBack(*std::move(slot));
}

}  // namespace
}  // namespace berth
