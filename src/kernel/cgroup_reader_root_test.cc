// What a kept-open reader tells of a cgroup, against what was done in it.
#include "src/base/steady_time.h"
#include "src/kernel/cgroup_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "src/kernel/process_facts.h"
#include "src/kernel/testing/cgroup_test_fixture.h"

namespace berth {
namespace {

class CgroupReaderTest : public CgroupTest {
 protected:
  // How many descriptors of this process are files of the test's cgroup.
  size_t KeptOpen() const {
    size_t count = 0;
    for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
      std::error_code error;
      const std::string target = std::filesystem::read_symlink(entry.path(), error).string();
      count += target.find(path_ + "/") != std::string::npos &&
               target.find("/tasks") == std::string::npos;
    }
    return count;
  }
};

TEST_F(CgroupReaderTest, ReadsTheSameWithFilesKeptAndNot) {
  ASSERT_TRUE(cgroups_->SetLimits(path_, {.memory_bytes = 64 << 20}).ok());
  ASSERT_EQ(RunInside("i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done"), 0);
  CgroupReader kept = cgroups_->Reader(path_, CgroupReader::Keep::kOpen);
  CgroupReader other = cgroups_->Reader(path_, CgroupReader::Keep::kNothing);
  const size_t before = KeptOpen();
  const absl::StatusOr<CgroupUsage> first = kept.Read();
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_GT(KeptOpen(), before);
  EXPECT_LE(KeptOpen() - before, kept.descriptors());
  ASSERT_EQ(RunInside("i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done"), 0);
  const absl::StatusOr<CgroupUsage> again = kept.Read(), fresh = other.Read();
  ASSERT_TRUE(again.ok() && fresh.ok());
  EXPECT_GT(*again->cpu_ns, *first->cpu_ns) << "a kept file is read anew";
  EXPECT_EQ(again->cpu_ns, fresh->cpu_ns);
  EXPECT_EQ(again->memory_limit, uint64_t{64} << 20);
  EXPECT_EQ(again->page_faults, fresh->page_faults);
  EXPECT_EQ(other.descriptors(), 0u);
}

TEST_F(CgroupReaderTest, WhatIsAsleepIsNotReadWholeEachTime) {
  ASSERT_EQ(RunInside("i=0; while [ $i -lt 2000 ]; do i=$((i+1)); done"), 0);
  CgroupReader reader = cgroups_->Reader(path_, CgroupReader::Keep::kOpen);
  absl::Time start = SteadyNow();
  const auto limit_at = [&](absl::Duration later) {
    const absl::StatusOr<CgroupUsage> usage = reader.Read(start + later);
    return usage.ok() ? usage->memory_limit.value_or(0) >> 20 : 0;
  };
  // What a process that has ended gives back of its memory may come late, and is a change.
  bool looked_at = true, stalled = false;
  for (int attempt = 0; looked_at && !stalled && attempt < 100; ++attempt) {
    start += absl::Minutes(1);
    ASSERT_TRUE(cgroups_->SetLimits(path_, {.memory_bytes = 64 << 20}).ok());
    for (int second = 0; second < 3; ++second) EXPECT_EQ(limit_at(absl::Seconds(second)), 64u);
    const absl::StatusOr<CgroupUsage> usage = reader.Read(start + absl::Seconds(2));
    ASSERT_TRUE(usage.ok());
    // The averages of a stall fade within minutes; on an idle machine there is none.
    stalled = usage->cpu_pressure &&
              (usage->cpu_pressure->some.avg10 != 0 || usage->cpu_pressure->some.avg60 != 0 ||
               usage->cpu_pressure->some.avg300 != 0);
    ASSERT_TRUE(cgroups_->SetLimits(path_, {.memory_bytes = 32 << 20}).ok());
    looked_at = limit_at(absl::Seconds(3)) != 64;
  }
  EXPECT_TRUE(stalled || !looked_at);
  EXPECT_EQ(limit_at(absl::Seconds(2) + CgroupReader::kAsleep), 32u) << "it has slept for long";
  ASSERT_TRUE(cgroups_->SetLimits(path_, {.memory_bytes = 48 << 20}).ok());
  reader.Wake();
  EXPECT_EQ(limit_at(absl::Seconds(13)), 48u);
  ASSERT_TRUE(cgroups_->SetLimits(path_, {.memory_bytes = 40 << 20}).ok());
  ASSERT_EQ(RunInside("i=0; while [ $i -lt 2000 ]; do i=$((i+1)); done"), 0);
  EXPECT_EQ(limit_at(absl::Seconds(14)), 40u) << "something has run in it";
}

TEST_F(CgroupReaderTest, SaysWhenTheCgroupIsGone) {
  CgroupReader kept = cgroups_->Reader(path_, CgroupReader::Keep::kOpen);
  ASSERT_TRUE(kept.Read().ok());
  ASSERT_TRUE(Remove(path_).ok());
  EXPECT_EQ(kept.Read().status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(kept.ReadDetails().status().code(), absl::StatusCode::kNotFound);
  ASSERT_TRUE(cgroups_->Create(path_).ok());  // as the fixture leaves it
}

TEST_F(CgroupReaderTest, TellsPressureWhereThereIsACgroup2) {
  const absl::StatusOr<CgroupUsage> usage =
      cgroups_->Reader(path_, CgroupReader::Keep::kNothing).Read();
  ASSERT_TRUE(usage.ok());
  const bool accounted = access("/proc/pressure/cpu", R_OK) == 0;
  EXPECT_EQ(usage->cpu_pressure.has_value(), accounted && cgroups_->mode() != Cgroups::Mode::kV1);
  EXPECT_EQ(usage->io_pressure.has_value(), usage->cpu_pressure.has_value());
}

TEST_F(CgroupReaderTest, DetailsTellOfThrottlingPeakAndLimits) {
  ASSERT_TRUE(
      cgroups_
          ->SetLimits(
              path_,
              {.memory_bytes = 64 << 20, .cpu_quota_us = 1000, .cpu_period_us = 100000, .pids = 33})
          .ok());
  ASSERT_EQ(RunInside("i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done"), 0);
  const absl::StatusOr<CgroupDetails> details =
      cgroups_->Reader(path_, CgroupReader::Keep::kNothing).ReadDetails();
  ASSERT_TRUE(details.ok()) << details.status();
  EXPECT_GT(details->cfs_throttled_periods.value_or(0), 0u);
  EXPECT_GT(details->cfs_throttled_ns.value_or(0), 0u);
  EXPECT_GT(details->user_ns.value_or(0) + details->system_ns.value_or(0), 0u);
  EXPECT_EQ(details->oom_kills, 0u);
  EXPECT_EQ(details->pids_limit, 33u);
}

TEST_F(CgroupReaderTest, CountsProcessesAndWhatTheyHoldOpen) {
  ASSERT_NE(Start("exec 7</dev/null 8</dev/null; exec sleep 1000"), nullptr);
  const CgroupReader reader = cgroups_->Reader(path_, CgroupReader::Keep::kNothing);
  const std::vector<pid_t> pids = reader.Processes(10);
  ASSERT_EQ(pids.size(), 1u);
  // The shell opens them a moment after it was started.
  const absl::Time deadline = SteadyNow() + absl::Seconds(20);
  ProcessFacts facts = ReadProcessFacts(pids, 1000);
  while (facts.open_files < 2 && SteadyNow() < deadline) facts = ReadProcessFacts(pids, 1000);
  EXPECT_EQ(facts.processes, 1u);
  EXPECT_GE(facts.open_files, 2u);
  EXPECT_EQ(facts.sockets, 0u);
  EXPECT_TRUE(facts.open_files_limit.has_value());
  EXPECT_LE(ReadProcessFacts(pids, 1).open_files, 1u) << "it is bounded";
  EXPECT_TRUE(reader.Processes(0).empty());
}

}  // namespace
}  // namespace berth
