#include "src/image/pull_cgroup.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "src/kernel/file.h"

namespace berth {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

class PullCgroupTest : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root: makes cgroups";
    parent_ = absl::StrCat("/berth-pull-cgroup-test-", ::getpid());
    Open(int64_t{1} << 30);
  }
  void TearDown() override {
    if (parent_.empty()) return;
    EXPECT_THAT(Directories(), IsEmpty());
  }

  void Open(int64_t memory_bytes) {
    auto pulls = PullCgroups::Open({.parent = parent_, .memory_bytes = memory_bytes});
    ASSERT_TRUE(pulls.ok()) << pulls.status();
    pulls_ = *std::move(pulls);
  }

  std::unique_ptr<PullCgroup> Make() {
    auto made = pulls_->Make();
    EXPECT_TRUE(made.ok()) << made.status();
    return made.ok() ? *std::move(made) : nullptr;
  }

  // Of the parent, in every hierarchy that has it.
  std::vector<std::string> Directories() const {
    std::vector<std::string> found;
    std::vector<std::string> mounts = {"/sys/fs/cgroup"};
    for (const auto& entry : std::filesystem::directory_iterator("/sys/fs/cgroup"))
      mounts.push_back(entry.path());
    for (const std::string& mount : mounts) {
      if (::access((mount + parent_).c_str(), F_OK) == 0) found.push_back(mount + parent_);
    }
    return found;
  }

  // The value of `file` in the only pull's directory, in the hierarchy that has it.
  std::string Value(const std::string& file) const {
    for (const std::string& directory : Directories()) {
      for (const auto& entry : std::filesystem::directory_iterator(directory)) {
        const auto text = ReadFileAt(AT_FDCWD, absl::StrCat(entry.path().string(), "/", file));
        if (entry.is_directory() && text.ok())
          return std::string(absl::StripAsciiWhitespace(*text));
      }
    }
    return "absent";
  }

  static SpawnedProcess Start(const PullCgroup& cgroup, const std::string& script) {
    SpawnRequest request{.path = "/bin/sh", .argv = {"sh", "-c", script}, .fds = {-1, -1, -1}};
    cgroup.Lend(&request);
    auto process = Spawn(request);
    EXPECT_TRUE(process.ok()) << process.status();
    return process.ok() ? *std::move(process) : SpawnedProcess();
  }

  static int End(const SpawnedProcess& process) {
    siginfo_t info = {};
    EXPECT_EQ(::waitid(P_PIDFD, static_cast<id_t>(process.pidfd.get()), &info, WEXITED), 0);
    return info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
  }

  std::string parent_;
  std::unique_ptr<PullCgroups> pulls_;
};

TEST_F(PullCgroupTest, HasLessCpuThanOthersAndALimitOfMemory) {
  const auto cgroup = Make();
  const bool v2 = Cgroups::Detect()->mode() == Cgroups::Mode::kV2;
  EXPECT_EQ(Value(v2 ? "cpu.weight" : "cpu.shares"), v2 ? "35" : "256");
  EXPECT_EQ(Value(v2 ? "memory.max" : "memory.limit_in_bytes"), "1073741824");
  EXPECT_EQ(Value("pids.max"), "256");
  if (v2) {
    EXPECT_EQ(Value("memory.high"), "939524096");
  }
}

TEST_F(PullCgroupTest, TheProcessIsInItFromTheStart) {
  const auto cgroup = Make();
  const SpawnedProcess process =
      Start(*cgroup, absl::StrCat("grep -q '", parent_, "/' /proc/self/cgroup"));
  EXPECT_EQ(End(process), 0);
}

TEST_F(PullCgroupTest, GoesWithItsProcessAndTheParentWithTheLast) {
  auto first = Make(), second = Make();
  const SpawnedProcess process = Start(*first, "while :; do :; done");
  first.reset();
  EXPECT_EQ(End(process), 128 + SIGKILL);
  EXPECT_THAT(Directories(), Not(IsEmpty()));
  second.reset();
  EXPECT_THAT(Directories(), IsEmpty());
}

TEST_F(PullCgroupTest, WhoNeedsTooMuchMemoryIsKilledAndKnownForIt) {
  Open(16 << 20);
  const auto cgroup = Make(), other = Make();
  // Doubles a string until something gives way.
  const SpawnedProcess process = Start(*cgroup, "s=0123456789abcdef; while :; do s=$s$s; done");
  EXPECT_EQ(End(process), 128 + SIGKILL);
  EXPECT_TRUE(cgroup->RanOutOfMemory());
  EXPECT_FALSE(other->RanOutOfMemory());
}

TEST_F(PullCgroupTest, AnOrdinaryEndIsNoLackOfMemory) {
  const auto cgroup = Make();
  EXPECT_EQ(End(Start(*cgroup, "exit 3")), 3);
  EXPECT_FALSE(cgroup->RanOutOfMemory());
}

TEST_F(PullCgroupTest, TheNextDaemonEndsWhatThisOneLeft) {
  const auto cgroup = Make();
  const SpawnedProcess process = Start(*cgroup, "while :; do :; done");
  const auto next = PullCgroups::Open({.parent = parent_});
  EXPECT_TRUE(next.ok()) << next.status();
  EXPECT_EQ(End(process), 128 + SIGKILL);
  EXPECT_THAT(Directories(), IsEmpty());
}

// A frozen cgroup of v1 does what an uninterruptible wait does: a SIGKILL has no effect.
TEST_F(PullCgroupTest, WhatDoesNotDieDoesNotKeepTheNextDaemonFromPulling) {
  namespace fs = std::filesystem;
  const std::string frozen = "/sys/fs/cgroup/freezer" + parent_ + "-frozen";
  if (!fs::exists("/sys/fs/cgroup/freezer/cgroup.procs"))
    GTEST_SKIP() << "needs the freezer of cgroup v1";
  auto left = Make();
  const SpawnedProcess process = Start(*left, "while :; do :; done");
  fs::create_directory(frozen);
  std::ofstream(frozen + "/cgroup.procs") << process.pid;
  std::ofstream(frozen + "/freezer.state") << "FROZEN";

  const auto next = PullCgroups::Open({.parent = parent_});
  EXPECT_TRUE(next.ok()) << next.status();
  if (next.ok()) {
    auto made = (*next)->Make();
    EXPECT_TRUE(made.ok()) << made.status();
    if (made.ok()) {
      EXPECT_EQ(End(Start(**made, "exit 3")), 3);
    }
  }

  std::ofstream(frozen + "/freezer.state") << "THAWED";
  EXPECT_EQ(End(process), 128 + SIGKILL) << "it was killed while it was frozen";
  EXPECT_EQ(::rmdir(frozen.c_str()), 0);
}

TEST(PullCgroupParent, LiesBesideThePods) {
  EXPECT_EQ(PullCgroupParent("/berth"), "/berth-pulls");
  EXPECT_EQ(PullCgroupParent("/a/berth/"), "/a/berth-pulls");
  EXPECT_EQ(PullCgroupParent("/a.slice/a-berth.slice"), "a-berth");
}

}  // namespace
}  // namespace berth
