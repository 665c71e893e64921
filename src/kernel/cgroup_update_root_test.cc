// Limits and device rules of cgroups in use, against the kernel.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "src/kernel/testing/cgroup_test_fixture.h"

namespace berth {
namespace {

using ::testing::AnyOf;
using ::testing::HasSubstr;

constexpr int64_t kMiB = 1 << 20;

class CgroupUpdateTest : public CgroupTest {
 protected:
  std::string Memory() const { return Value(v2() ? "memory.max" : "memory.limit_in_bytes"); }
  std::string Swap() const {
    return Value(v2() ? "memory.swap.max" : "memory.memsw.limit_in_bytes");
  }
  std::string Cpu() const {
    return v2() ? Value("cpu.max")
                : absl::StrCat(Value("cpu.cfs_quota_us"), " ", Value("cpu.cfs_period_us"));
  }
  // A process of the cgroup that holds `mebibytes` of memory until it is killed.
  void Hold(int mebibytes) {
    ASSERT_EQ(mkfifo(ready_.c_str(), 0600), 0);
    ASSERT_NE(Start(absl::StrCat("x=$(head -c ", mebibytes << 20,
                                 " /dev/zero | tr '\\0' x); echo >", ready_, "; read y <", ready_)),
              nullptr);
    const UniqueFd told(open(ready_.c_str(), O_RDONLY | O_CLOEXEC));
    char byte;
    ASSERT_EQ(read(told.get(), &byte, 1), 1);
    unlink(ready_.c_str());
  }
  const std::string ready_ = absl::StrCat("/tmp/berth-cgroup-ready-", getpid());
};

TEST_F(CgroupUpdateTest, ResizesUpAndDown) {
  CgroupLimits now;
  for (const int64_t factor : {4, 16, 2, 64, 1, 8}) {
    const CgroupLimits next = {.memory_bytes = 8 * factor * kMiB,
                               .memory_swap_bytes = 12 * factor * kMiB,
                               .cpu_shares = 100 * factor,
                               .cpu_quota_us = 5000 * factor,
                               .cpu_period_us = 10000 + 10000 * (factor % 3),
                               .pids = 100 * factor};
    const absl::Status done = cgroups_->UpdateLimits(path_, now, next);
    ASSERT_TRUE(done.ok()) << done;
    EXPECT_EQ(Memory(), absl::StrCat(8 * factor * kMiB));
    EXPECT_THAT(Swap(), AnyOf("absent", absl::StrCat((v2() ? 4 : 12) * factor * kMiB)));
    EXPECT_EQ(Cpu(), absl::StrCat(*next.cpu_quota_us, " ", *next.cpu_period_us));
    EXPECT_EQ(Value("pids.max"), absl::StrCat(*next.pids));
    now = next;
  }
}

TEST_F(CgroupUpdateTest, SwapGrowsWhileMemoryShrinksAndBack) {
  const CgroupLimits a = {.memory_bytes = 64 * kMiB, .memory_swap_bytes = 64 * kMiB};
  const CgroupLimits b = {.memory_bytes = 16 * kMiB, .memory_swap_bytes = 128 * kMiB};
  const CgroupLimits c = {.memory_bytes = 256 * kMiB, .memory_swap_bytes = -1};
  CgroupLimits now;
  for (const CgroupLimits& next : {a, b, a, c, b, c, a}) {
    const absl::Status done = cgroups_->UpdateLimits(path_, now, next);
    ASSERT_TRUE(done.ok()) << done;
    EXPECT_EQ(Memory(), absl::StrCat(*next.memory_bytes));
    now = next;
  }
}

// On v1 neither value may at any moment be more CPU than the parent has.
TEST_F(CgroupUpdateTest, QuotaAndPeriodChangeBelowALimitedParent) {
  ASSERT_TRUE(
      cgroups_->SetLimits(root_ + "/pod", {.cpu_quota_us = 100000, .cpu_period_us = 100000}).ok());
  const std::vector<CgroupLimits> steps = {{.cpu_quota_us = 100000, .cpu_period_us = 100000},
                                           {.cpu_quota_us = 25000, .cpu_period_us = 25000},
                                           {.cpu_quota_us = 100000, .cpu_period_us = 100000},
                                           {.cpu_quota_us = 10000, .cpu_period_us = 20000},
                                           {.cpu_quota_us = 200000, .cpu_period_us = 400000},
                                           {.cpu_quota_us = -1, .cpu_period_us = 50000},
                                           {.cpu_quota_us = 20000, .cpu_period_us = 20000}};
  CgroupLimits now;
  for (const CgroupLimits& next : steps) {
    const absl::Status done = cgroups_->UpdateLimits(path_, now, next);
    ASSERT_TRUE(done.ok()) << done;
    const std::string quota = *next.cpu_quota_us > 0 ? absl::StrCat(*next.cpu_quota_us)
                              : v2()                 ? "max"
                                                     : "-1";
    EXPECT_EQ(Cpu(), absl::StrCat(quota, " ", *next.cpu_period_us));
    now = next;
  }
}

TEST_F(CgroupUpdateTest, ARefusedValueLeavesAllAsItWas) {
  CgroupLimits before = {.memory_bytes = 64 * kMiB,
                         .memory_swap_bytes = 96 * kMiB,
                         .cpu_shares = 512,
                         .cpu_quota_us = 20000,
                         .cpu_period_us = 50000,
                         .pids = 20};
  ASSERT_TRUE(cgroups_->SetLimits(path_, before).ok());
  const std::vector<std::string> files = {"memory.max",        "memory.limit_in_bytes",
                                          "memory.swap.max",   "memory.memsw.limit_in_bytes",
                                          "cpu.weight",        "cpu.shares",
                                          "cpu.max",           "cpu.cfs_quota_us",
                                          "cpu.cfs_period_us", "pids.max",
                                          "cpuset.cpus",       "memory.high"};
  const auto all = [&] {
    std::vector<std::string> values;
    for (const std::string& file : files) values.push_back(absl::StrCat(file, "=", Value(file)));
    return values;
  };
  const std::vector<std::string> old = all();
  CgroupLimits refused = before;
  refused.cpu_shares = 2048;
  refused.memory_bytes = 128 * kMiB;
  refused.memory_swap_bytes = 256 * kMiB;
  refused.cpu_quota_us = 40000;
  refused.pids = int64_t{1} << 40;  // PID_MAX_LIMIT is 2^22
  absl::Status status = cgroups_->UpdateLimits(path_, before, refused);
  EXPECT_FALSE(status.ok());
  EXPECT_THAT(std::string(status.message()), HasSubstr("pids.max"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("1099511627776"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("Invalid argument"));
  EXPECT_EQ(all(), old);

  refused.pids = 30;
  refused.cpu_quota_us = 1;
  status = cgroups_->UpdateLimits(path_, before, refused);
  EXPECT_FALSE(status.ok());
  EXPECT_THAT(std::string(status.message()), HasSubstr(v2() ? "cpu.max" : "cpu.cfs_quota_us"));
  EXPECT_EQ(all(), old);
  ASSERT_TRUE(cgroups_->UpdateLimits(path_, before, {.pids = 5}).ok()) << "and it works afterwards";
}

TEST_F(CgroupUpdateTest, WhatIsNoLongerAskedForIsLifted) {
  const CgroupLimits before = {.memory_bytes = 64 * kMiB,
                               .cpu_shares = 77,
                               .cpu_quota_us = 20000,
                               .cpu_period_us = 50000,
                               .pids = 20};
  ASSERT_TRUE(cgroups_->SetLimits(path_, before).ok());
  const absl::Status done = cgroups_->UpdateLimits(path_, before, {});
  ASSERT_TRUE(done.ok()) << done;
  EXPECT_EQ(CgroupNumber(Memory()), UINT64_MAX);
  EXPECT_EQ(Cpu(), v2() ? "max 100000" : "-1 100000");
  EXPECT_EQ(Value("pids.max"), "max");
  EXPECT_EQ(Value(v2() ? "cpu.weight" : "cpu.shares"), v2() ? "100" : "1024");
}

TEST_F(CgroupUpdateTest, CpusetsAreSetAndLifted) {
  if (!cgroups_->HasController("cpuset")) GTEST_SKIP() << "this kernel has no cpuset controller";
  const std::string parents = Value("cpuset.cpus");
  const CgroupLimits one = {.cpuset_cpus = "0", .cpuset_mems = "0"};
  ASSERT_TRUE(cgroups_->UpdateLimits(path_, {}, one).ok());
  EXPECT_EQ(Value("cpuset.cpus"), "0");
  EXPECT_EQ(RunInside("true"), 0);
  ASSERT_TRUE(cgroups_->UpdateLimits(path_, one, {}).ok());
  EXPECT_EQ(Value("cpuset.cpus"), parents);
  EXPECT_FALSE(cgroups_->UpdateLimits(path_, {}, {.cpuset_cpus = "4096"}).ok());
  EXPECT_EQ(Value("cpuset.cpus"), parents);
}

TEST_F(CgroupUpdateTest, MemoryInUseIsNotTakenAway) {
  const CgroupLimits before = {.memory_bytes = 256 * kMiB}, less = {.memory_bytes = 2 * kMiB};
  ASSERT_TRUE(cgroups_->SetLimits(path_, before).ok());
  Hold(24);
  const absl::Status refused = cgroups_->UpdateLimits(path_, before, less);
  EXPECT_FALSE(refused.ok());
  EXPECT_THAT(std::string(refused.message()),
              HasSubstr(v2() ? "memory.max" : "memory.limit_in_bytes"));
  EXPECT_THAT(std::string(refused.message()), HasSubstr("2097152"));
  if (v2()) {
    EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_EQ(Value("memory.high"), "max") << "the squeeze is over";
    EXPECT_THAT(Value("memory.events"), HasSubstr("oom_kill 0"));
  }
  EXPECT_EQ(Memory(), absl::StrCat(256 * kMiB));
  ASSERT_EQ(processes_.size(), 1u);
  EXPECT_EQ(kill(processes_[0].pid, 0), 0) << "nobody was killed";
  EXPECT_TRUE(cgroups_->UpdateLimits(path_, before, {.memory_bytes = 192 * kMiB}).ok());
}

// Page cache is in use too, but the kernel can take it back.
TEST_F(CgroupUpdateTest, MemoryThatCanBeReclaimedIs) {
  const CgroupLimits before = {.memory_bytes = 256 * kMiB}, less = {.memory_bytes = 12 * kMiB};
  ASSERT_TRUE(cgroups_->SetLimits(path_, before).ok());
  const char* tmp = getenv("BERTH_E2E_BASE");
  const std::string file =
      absl::StrCat(tmp != nullptr ? tmp : "/var/tmp", "/berth-cache-", getpid());
  ASSERT_EQ(RunInside("dd if=/dev/zero of=" + file + " bs=1M count=48 conv=fsync 2>/dev/null"), 0);
  const absl::StatusOr<CgroupUsage> usage = Read(path_);
  ASSERT_TRUE(usage.ok());
  if (usage->memory_bytes.value_or(0) <= 12 * kMiB) {
    unlink(file.c_str());
    GTEST_SKIP() << "the file system keeps no page cache";
  }
  const absl::Status done = cgroups_->UpdateLimits(path_, before, less);
  EXPECT_TRUE(done.ok()) << done;
  EXPECT_EQ(Memory(), absl::StrCat(12 * kMiB));
  EXPECT_THAT(Value("memory.high"), AnyOf("max", "absent"));
  unlink(file.c_str());
}

TEST_F(CgroupUpdateTest, UnifiedWinsOnV2) {
  if (!v2()) GTEST_SKIP() << "needs cgroup v2";
  const CgroupLimits before = {.memory_bytes = 64 * kMiB, .pids = 9};
  CgroupLimits after = before;
  after.unified = {{"memory.max", "33554432"}, {"memory.oom.group", "1"}, {"memory.low", "4096"}};
  ASSERT_TRUE(cgroups_->SetLimits(path_, before).ok());
  const absl::Status done = cgroups_->UpdateLimits(path_, before, after);
  ASSERT_TRUE(done.ok()) << done;
  EXPECT_EQ(Memory(), "33554432");
  EXPECT_EQ(Value("memory.oom.group"), "1");
  CgroupLimits bad = after;
  bad.pids = 11;
  bad.unified["memory.nonsense"] = "1";
  const absl::Status refused = cgroups_->UpdateLimits(path_, after, bad);
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition) << refused;
  EXPECT_EQ(Value("pids.max"), "9");
  bad.unified.erase("memory.nonsense");
  bad.unified["memory.oom.group"] = "7";
  EXPECT_FALSE(cgroups_->UpdateLimits(path_, after, bad).ok());
  EXPECT_EQ(Value("pids.max"), "9");
  EXPECT_EQ(Value("memory.oom.group"), "1");
}

TEST_F(CgroupUpdateTest, OfACgroupThatIsGoneIsAnError) {
  EXPECT_EQ(cgroups_->UpdateLimits(root_ + "/nope", {}, {.pids = 4}).code(),
            absl::StatusCode::kNotFound);
}

// Device nodes in a directory of the test's own.
class CgroupDevicesTest : public CgroupTest {
 protected:
  void SetUp() override {
    CgroupTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    ASSERT_NE(mkdtemp(directory_.data()), nullptr);
    node_ = directory_ + "/kmsg";  // any kernel has it, and opening it takes no hardware
    ASSERT_EQ(mknod(node_.c_str(), S_IFCHR | 0600, makedev(1, 11)), 0);
    if (!Reads() || !Writes()) GTEST_SKIP() << "no /dev/kmsg on this kernel";
  }
  void TearDown() override {
    CgroupTest::TearDown();
    std::filesystem::remove_all(directory_);
  }
  bool Reads() const { return RunInside("exec 3<" + node_) == 0; }
  bool Writes() const { return RunInside("exec 3>" + node_) == 0; }
  bool ReadsAndWrites() const { return RunInside("exec 3<>" + node_) == 0; }

  std::string directory_ = "/tmp/berth-devices-XXXXXX", node_;
};

TEST_F(CgroupDevicesTest, ADeviceIsGivenTheAccessAskedFor) {
  ASSERT_TRUE(
      cgroups_->RestrictDevices(path_, {{.type = 'c', .major = 1, .minor = 11, .access = "r"}})
          .ok());
  EXPECT_TRUE(Reads());
  EXPECT_FALSE(Writes());
  EXPECT_FALSE(ReadsAndWrites());
  EXPECT_EQ(RunInside("exec 3<>/dev/null"), 0);
}

TEST_F(CgroupDevicesTest, NewRulesReplaceTheOld) {
  const std::vector<DeviceRule> writing = {{.type = 'c', .major = 1, .minor = 11, .access = "w"}};
  const std::vector<DeviceRule> both = {{.type = 'c', .major = 1, .minor = 11, .access = "w"},
                                        {.type = 'c', .major = 1, .minor = 11, .access = "r"}};
  ASSERT_TRUE(cgroups_->RestrictDevices(path_).ok());
  EXPECT_FALSE(Reads());
  ASSERT_TRUE(cgroups_->RestrictDevices(path_, writing).ok());
  EXPECT_FALSE(Reads());
  EXPECT_TRUE(Writes());
  ASSERT_TRUE(cgroups_->RestrictDevices(path_, both).ok());
  EXPECT_TRUE(ReadsAndWrites());
  ASSERT_TRUE(cgroups_->RestrictDevices(path_).ok());
  EXPECT_FALSE(Reads());
  EXPECT_FALSE(Writes());
  ASSERT_TRUE(cgroups_->RestrictDevices(path_, {{.allow = true, .type = 'a'}}).ok());
  EXPECT_TRUE(ReadsAndWrites());
}

TEST_F(CgroupDevicesTest, AllButOneMayBeAllowed) {
  const absl::Status set = cgroups_->RestrictDevices(
      path_,
      {{.allow = true, .type = 'a'}, {.allow = false, .type = 'c', .major = 1, .minor = 11}});
  ASSERT_TRUE(set.ok()) << set;
  EXPECT_FALSE(Reads());
  EXPECT_EQ(RunInside("exec 3<>/dev/null"), 0);
}

TEST_F(CgroupDevicesTest, NothingIsLiftedAboveTheParent) {
  const std::string parent = root_ + "/restricted", child = parent + "/child";
  ASSERT_TRUE(cgroups_->Create(parent).ok());
  ASSERT_TRUE(cgroups_->RestrictDevices(parent).ok());
  ASSERT_TRUE(cgroups_->Create(child).ok());
  const absl::Status lifted = cgroups_->RestrictDevices(child, {{.allow = true, .type = 'a'}});
  EXPECT_TRUE(lifted.ok()) << lifted;
  absl::StatusOr<CgroupHandle> handle = cgroups_->Open(child);
  ASSERT_TRUE(handle.ok()) << handle.status();
  std::swap(handle_, *handle);
  EXPECT_FALSE(Reads());
  EXPECT_EQ(RunInside("exec 3<>/dev/null"), 0);
  std::swap(handle_, *handle);
}

}  // namespace
}  // namespace berth
