#include "src/kernel/cgroup_limits.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"

namespace berth {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::vector<std::string> Lines(const absl::StatusOr<std::vector<CgroupWrite>>& writes) {
  if (!writes.ok()) return {writes.status().ToString()};
  std::vector<std::string> lines;
  for (const CgroupWrite& write : *writes) {
    lines.push_back(absl::StrCat(write.controller, " ", write.file, "=", write.value,
                                 write.optional ? " ?" : ""));
  }
  return lines;
}

constexpr int64_t kMiB = 1 << 20;

TEST(CgroupWrites, OfNoLimitsAreNone) {
  EXPECT_THAT(Lines(CgroupWritesV1({})), IsEmpty());
  EXPECT_THAT(Lines(CgroupWritesV2({})), IsEmpty());
}

TEST(CgroupWrites, OfAllLimitsOnV1) {
  EXPECT_THAT(
      Lines(CgroupWritesV1({.memory_bytes = kMiB,
                            .memory_swap_bytes = 3 * kMiB,
                            .cpu_shares = 1024,
                            .cpu_quota_us = 5000,
                            .cpu_period_us = 10000,
                            .pids = 9,
                            .cpuset_cpus = "0-1",
                            .cpuset_mems = "0",
                            .hugepages = {{"2MB", 0}}})),
      ElementsAre(
          "cpu cpu.shares=1024", "cpu cpu.cfs_period_us=10000", "cpu cpu.cfs_quota_us=5000",
          "cpuset cpuset.cpus=0-1", "cpuset cpuset.mems=0", "pids pids.max=9",
          "hugetlb hugetlb.2MB.limit_in_bytes=0 ?", "hugetlb hugetlb.2MB.rsvd.limit_in_bytes=0 ?",
          "memory memory.limit_in_bytes=1048576", "memory memory.memsw.limit_in_bytes=3145728 ?"));
}

TEST(CgroupWrites, OfAllLimitsOnV2) {
  EXPECT_THAT(Lines(CgroupWritesV2({.memory_bytes = kMiB,
                                    .memory_swap_bytes = 3 * kMiB,
                                    .cpu_shares = 1024,
                                    .cpu_quota_us = 5000,
                                    .cpu_period_us = 10000,
                                    .pids = -1,
                                    .cpuset_cpus = "0-1",
                                    .cpuset_mems = "0",
                                    .hugepages = {{"2MB", 0}}})),
              ElementsAre("cpu cpu.weight=100", "cpu cpu.max=5000 10000", "cpuset cpuset.cpus=0-1",
                          "cpuset cpuset.mems=0", "pids pids.max=max",
                          "hugetlb hugetlb.2MB.max=0 ?", "hugetlb hugetlb.2MB.rsvd.max=0 ?",
                          "memory memory.max=1048576", "memory memory.swap.max=2097152 ?"));
}

struct SwapCase {
  const char* name;
  std::optional<int64_t> memory, both;
  const char *v1, *v2;  // of memory and swap; "" none, "!" InvalidArgument
};
class SwapTest : public testing::TestWithParam<SwapCase> {};

std::string SwapOf(const absl::StatusOr<std::vector<CgroupWrite>>& writes) {
  if (!writes.ok())
    return writes.status().code() == absl::StatusCode::kInvalidArgument ? "!" : "unexpected";
  for (const CgroupWrite& write : *writes) {
    if (write.file == "memory.memsw.limit_in_bytes" || write.file == "memory.swap.max")
      return write.value;
  }
  return "";
}

TEST_P(SwapTest, MeansTheSameOnBoth) {
  const CgroupLimits limits = {.memory_bytes = GetParam().memory,
                               .memory_swap_bytes = GetParam().both};
  EXPECT_EQ(SwapOf(CgroupWritesV1(limits)), GetParam().v1);
  EXPECT_EQ(SwapOf(CgroupWritesV2(limits)), GetParam().v2);
}

INSTANTIATE_TEST_SUITE_P(Swap, SwapTest,
                         testing::Values(SwapCase{"AbsentIsNone", 4096, std::nullopt, "4096", "0"},
                                         SwapCase{"ZeroIsNone", 4096, 0, "4096", "0"},
                                         SwapCase{"EqualIsNone", 4096, 4096, "4096", "0"},
                                         SwapCase{"MoreIsTheRest", 4096, 12288, "12288", "8192"},
                                         SwapCase{"Unlimited", 4096, -1, "-1", "max"},
                                         SwapCase{"BelowMemory", 4096, 4095, "!", "!"},
                                         SwapCase{"MemoryUnlimited", -1, std::nullopt, "-1", "max"},
                                         SwapCase{"MemoryUnlimitedSwapNot", -1, 4096, "!", "!"},
                                         SwapCase{"NothingAtAll", std::nullopt, std::nullopt, "",
                                                  ""},
                                         SwapCase{"ZeroAlone", std::nullopt, 0, "", ""},
                                         SwapCase{"UnlimitedAlone", std::nullopt, -1, "-1", "max"},
                                         SwapCase{"NumberAlone", std::nullopt, 4096, "4096", "!"}),
                         [](const auto& info) { return info.param.name; });

TEST(CgroupWritesV2, QuotaAndPeriodAreOneWrite) {
  EXPECT_THAT(Lines(CgroupWritesV2({.cpu_quota_us = -1})), ElementsAre("cpu cpu.max=max 100000"));
  EXPECT_THAT(Lines(CgroupWritesV2({.cpu_period_us = 5000})), ElementsAre("cpu cpu.max=max 5000"));
  EXPECT_THAT(Lines(CgroupWritesV2({.cpu_quota_us = 7000})),
              ElementsAre("cpu cpu.max=7000 100000"));
}

TEST(CgroupWritesV2, UnifiedWinsAndComesLast) {
  EXPECT_THAT(
      Lines(CgroupWritesV2(
          {.memory_bytes = kMiB,
           .pids = 3,
           .unified = {{"memory.oom.group", "1"}, {"memory.max", "max"}, {"pids.max", "7"}}})),
      ElementsAre("pids pids.max=7", "memory memory.max=max", "memory memory.swap.max=0 ?",
                  "memory memory.oom.group=1"));
}

TEST(CgroupWritesV2, UnifiedIsWrittenLineByLine) {
  EXPECT_THAT(Lines(CgroupWritesV2({.unified = {{"io.max", "8:0 rbps=1\n8:16 rbps=2\n"}}})),
              ElementsAre("io io.max=8:0 rbps=1", "io io.max=8:16 rbps=2"));
}

TEST(CgroupWritesV2, UnifiedTakesNamesOfLimitsOnly) {
  for (const std::string& name :
       {std::string("../memory.max"), std::string("a/b.c"), std::string("memory..max"),
        std::string("cgroup.procs"), std::string("tasks"), std::string(""),
        std::string("memory.max\0x", 12)}) {
    const auto refused = CgroupWritesV2({.unified = {{name, "1"}}});
    EXPECT_EQ(refused.status().code(), absl::StatusCode::kInvalidArgument) << name;
    EXPECT_THAT(std::string(refused.status().message()), HasSubstr("resources.unified"));
  }
}

TEST(CgroupWritesV1, RefusesUnified) {
  EXPECT_EQ(CgroupWritesV1({.unified = {{"memory.max", "1"}}}).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(OverriddenLimits, LeavesWhatIsNotGiven) {
  const CgroupLimits before = {.memory_bytes = 100,
                               .memory_swap_bytes = 200,
                               .cpu_shares = 2,
                               .cpu_quota_us = 1000,
                               .cpu_period_us = 2000,
                               .pids = 5,
                               .io_weight = 6,
                               .cpuset_cpus = "0",
                               .cpuset_mems = "1",
                               .hugepages = {{"2MB", 1}, {"1GB", 2}},
                               .unified = {{"a.b", "1"}, {"c.d", "2"}}};
  const CgroupLimits same = OverriddenLimits(before, {});
  EXPECT_EQ(same.memory_bytes, 100);
  EXPECT_EQ(same.memory_swap_bytes, 200);
  EXPECT_EQ(same.cpu_shares, 2);
  EXPECT_EQ(same.cpu_quota_us, 1000);
  EXPECT_EQ(same.cpu_period_us, 2000);
  EXPECT_EQ(same.pids, 5);
  EXPECT_EQ(same.io_weight, 6);
  EXPECT_EQ(same.cpuset_cpus, "0");
  EXPECT_EQ(same.cpuset_mems, "1");
  EXPECT_EQ(same.hugepages, before.hugepages);
  EXPECT_EQ(same.unified, before.unified);
}

TEST(OverriddenLimits, TakesWhatIsGivenAndMapsKeyByKey) {
  const CgroupLimits after = OverriddenLimits({.memory_bytes = 100,
                                               .cpu_shares = 2,
                                               .cpuset_cpus = "0",
                                               .hugepages = {{"2MB", 1}, {"1GB", 2}},
                                               .unified = {{"a.b", "1"}, {"c.d", "2"}}},
                                              {.memory_bytes = 50,
                                               .memory_swap_bytes = -1,
                                               .cpu_quota_us = -1,
                                               .cpuset_cpus = "0-3",
                                               .hugepages = {{"2MB", 0}},
                                               .unified = {{"c.d", "3"}, {"e.f", "4"}}});
  EXPECT_EQ(after.memory_bytes, 50);
  EXPECT_EQ(after.memory_swap_bytes, -1);
  EXPECT_EQ(after.cpu_shares, 2);
  EXPECT_EQ(after.cpu_quota_us, -1);
  EXPECT_EQ(after.cpuset_cpus, "0-3");
  EXPECT_EQ(after.hugepages, (std::map<std::string, uint64_t>{{"2MB", 0}, {"1GB", 2}}));
  EXPECT_EQ(after.unified,
            (std::map<std::string, std::string>{{"a.b", "1"}, {"c.d", "3"}, {"e.f", "4"}}));
}

TEST(LiftedLimits, LiftWhatOnlyTheOldHave) {
  const CgroupLimits lifted = LiftedLimits({.memory_bytes = kMiB,
                                            .memory_swap_bytes = kMiB,
                                            .cpu_shares = 2,
                                            .cpu_quota_us = 5000,
                                            .cpu_period_us = 5000,
                                            .pids = 4,
                                            .hugepages = {{"1GB", 0}, {"2MB", 0}}},
                                           {.hugepages = {{"1GB", 5}}});
  EXPECT_EQ(Lines(CgroupWritesV2(lifted)),
            (std::vector<std::string>{
                "cpu cpu.weight=100", "cpu cpu.max=max 100000", "pids pids.max=max",
                "hugetlb hugetlb.1GB.max=5 ?", "hugetlb hugetlb.1GB.rsvd.max=5 ?",
                "hugetlb hugetlb.2MB.max=max ?", "hugetlb hugetlb.2MB.rsvd.max=max ?",
                "memory memory.max=max", "memory memory.swap.max=max ?"}));
  EXPECT_THAT(Lines(CgroupWritesV1(lifted)), Contains("hugetlb hugetlb.2MB.limit_in_bytes=-1 ?"));
}

TEST(LiftedLimits, KeepWhatTheNewHave) {
  const CgroupLimits lifted = LiftedLimits({.memory_bytes = kMiB, .pids = 4},
                                           {.memory_bytes = 2 * kMiB, .cpu_shares = 7, .pids = 5});
  EXPECT_EQ(lifted.memory_bytes, 2 * kMiB);
  EXPECT_EQ(lifted.pids, 5);
  EXPECT_EQ(lifted.cpu_shares, 7);
  EXPECT_EQ(lifted.cpu_quota_us, std::nullopt);
}

TEST(CgroupNumber, KnowsEveryWayToSayNoLimit) {
  for (const char* none : {"max\n", "-1\n", "9223372036854771712\n"})
    EXPECT_EQ(CgroupNumber(none), UINT64_MAX) << none;
  EXPECT_EQ(CgroupNumber("67108864\n"), 67108864u);
  EXPECT_EQ(CgroupNumber("0"), 0u);
}

}  // namespace
}  // namespace berth
