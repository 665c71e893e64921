#include "src/kernel/cgroup_stats.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "src/kernel/file.h"

namespace berth {
namespace {

using ::testing::Optional;

std::string Fixture(const std::string& name) {
  const absl::StatusOr<std::string> text =
      ReadFileAt(AT_FDCWD, absl::StrCat(BERTH_SOURCE_DIR, "/src/kernel/testdata/cgroup/", name));
  EXPECT_TRUE(text.ok()) << text.status();
  return text.value_or("");
}

TEST(ReadMemoryStat, TakesTheWholeSubtreeOnV1) {
  CgroupUsage usage;
  ReadMemoryStatV1(Fixture("v1/memory.stat"), &usage);
  EXPECT_THAT(usage.memory_inactive_file, Optional(894017536u));
  EXPECT_THAT(usage.memory_rss, Optional(1770049536u));
  EXPECT_THAT(usage.page_faults, Optional(27400345u));
  EXPECT_THAT(usage.major_page_faults, Optional(1333u));
  EXPECT_THAT(usage.memory_cache, Optional(1488805888u));
  EXPECT_THAT(usage.memory_mapped_file, Optional(64847872u));
}

TEST(ReadMemoryStat, TakesTheNamesOfV2) {
  CgroupUsage usage;
  ReadMemoryStatV2(Fixture("v2/memory.stat"), &usage);
  EXPECT_THAT(usage.memory_inactive_file, Optional(1048576u));
  EXPECT_THAT(usage.memory_rss, Optional(8192000u));
  EXPECT_THAT(usage.page_faults, Optional(4321u));
  EXPECT_THAT(usage.major_page_faults, Optional(21u));
  EXPECT_THAT(usage.memory_cache, Optional(1052672u));
  EXPECT_THAT(usage.memory_mapped_file, Optional(4096u));
}

TEST(ReadMemoryStat, WhatIsNotThereStaysUnset) {
  CgroupUsage usage;
  ReadMemoryStatV2("anon 5\nanon\n\nfile many\n pgfault 3", &usage);
  EXPECT_THAT(usage.memory_rss, Optional(5u));
  EXPECT_EQ(usage.memory_cache, std::nullopt);
  EXPECT_EQ(usage.page_faults, std::nullopt);
}

TEST(ReadCpuStat, IsInNanoseconds) {
  CgroupUsage usage;
  CgroupDetails v1, v2;
  ReadCpuStatV1(Fixture("v1/cpu.stat"), &v1);
  EXPECT_THAT(v1.cfs_periods, Optional(12u));
  EXPECT_THAT(v1.cfs_throttled_periods, Optional(5u));
  EXPECT_THAT(v1.cfs_throttled_ns, Optional(987654321u));
  ReadCpuStatV2(Fixture("v2/cpu.stat"), &usage, &v2);
  EXPECT_THAT(usage.cpu_ns, Optional(1500123000u));
  EXPECT_THAT(v2.user_ns, Optional(1000100000u));
  EXPECT_THAT(v2.system_ns, Optional(500023000u));
  EXPECT_THAT(v2.cfs_throttled_ns, Optional(250000000u));
}

TEST(ParsePressure, ReadsBothLines) {
  const std::optional<PressureStall> stall = ParsePressure(Fixture("v2/cpu.pressure"));
  ASSERT_TRUE(stall.has_value());
  EXPECT_DOUBLE_EQ(stall->some.avg10, 1.5);
  EXPECT_DOUBLE_EQ(stall->some.avg300, 0.05);
  EXPECT_EQ(stall->some.total_us, 123456u);
  ASSERT_TRUE(stall->full.has_value());
  EXPECT_DOUBLE_EQ(stall->full->avg60, 0.1);
  EXPECT_EQ(stall->full->total_us, 654u);
}

TEST(ParsePressure, OldKernelsHaveNoFullOfTheCpu) {
  const std::optional<PressureStall> stall = ParsePressure(Fixture("v2/cpu.pressure.old"));
  ASSERT_TRUE(stall.has_value());
  EXPECT_EQ(stall->some.total_us, 7u);
  EXPECT_FALSE(stall->full.has_value());
}

TEST(ParsePressure, RefusesWhatIsNone) {
  for (const char* text : {"", "some", "some \n", "full avg10=0 avg60=0 avg300=0 total=1",
                           "some avg10=x avg60=0 avg300=0 total=1", "some avg10=0 total=-1"})
    EXPECT_FALSE(ParsePressure(text).has_value()) << text;
}

TEST(ParseIo, IsTheSameOnBothVersions) {
  const std::vector<BlockIo> v1 =
      ParseBlkio(Fixture("v1/blkio.throttle.io_service_bytes_recursive"),
                 Fixture("v1/blkio.throttle.io_serviced_recursive"));
  const std::vector<BlockIo> v2 = ParseIoStat(Fixture("v2/io.stat"));
  ASSERT_EQ(v1.size(), 2u);
  ASSERT_EQ(v2.size(), 2u) << "a device without figures is left out";
  for (const BlockIo& io : {v1[0], v2[0]}) {
    EXPECT_EQ(io.major, 254u);
    EXPECT_EQ(io.minor, 0u);
    EXPECT_EQ(io.read_bytes, 4096u);
    EXPECT_EQ(io.write_bytes, 1052672u);
    EXPECT_EQ(io.reads, 1u);
    EXPECT_EQ(io.writes, 257u);
  }
  EXPECT_EQ(v2[1].major, 8u);
  EXPECT_EQ(v2[1].minor, 16u);
}

TEST(ParseIo, PassesOverWhatItDoesNotKnow) {
  EXPECT_TRUE(ParseIoStat("x:y rbytes=1\n8 rbytes=1\n:\n").empty());
  EXPECT_TRUE(ParseBlkio("8:0 Read\n8:0 Read x\nTotal 5\n8:0 Sync 4\n", "").empty());
}

TEST(ParseCgroupNumber, KnowsNoLimit) {
  EXPECT_EQ(ParseCgroupNumber("max\n"), UINT64_MAX);
  EXPECT_EQ(ParseCgroupNumber("-1\n"), UINT64_MAX);
  EXPECT_EQ(ParseCgroupNumber("9223372036854771712\n"), UINT64_MAX);
  EXPECT_EQ(ParseCgroupNumber("67108864\n"), 67108864u);
  EXPECT_EQ(ParseCgroupNumber("0\n"), 0u);
  for (const char* text : {"", "\n", "some", "1 2", "-2"})
    EXPECT_EQ(ParseCgroupNumber(text), std::nullopt) << text;
}

TEST(WorkingSet, IsNeverBelowZero) {
  CgroupUsage usage;
  EXPECT_EQ(usage.WorkingSet(), std::nullopt);
  usage.memory_bytes = 100;
  EXPECT_THAT(usage.WorkingSet(), Optional(100u));
  usage.memory_inactive_file = 40;
  EXPECT_THAT(usage.WorkingSet(), Optional(60u));
  usage.memory_inactive_file = 400;
  EXPECT_THAT(usage.WorkingSet(), Optional(0u));
}

}  // namespace
}  // namespace berth
