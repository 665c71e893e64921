#include "src/cli/quantity.h"

#include <gtest/gtest.h>

namespace berth::cli {
namespace {

struct SizeCase {
  uint64_t bytes;
  const char* decimal;
  const char* binary;
};

TEST(FormatSize, HasThreeDigitsAndAUnit) {
  for (const SizeCase& c :
       {SizeCase{0, "0B", "0B"}, SizeCase{999, "999B", "999B"}, SizeCase{1000, "1kB", "1000B"},
        SizeCase{1536, "1.54kB", "1.5KiB"}, SizeCase{67108864, "67.1MB", "64MiB"},
        SizeCase{999999, "1MB", "977KiB"}, SizeCase{UINT64_MAX, "18447PB", "16384PiB"}}) {
    EXPECT_EQ(FormatSize(c.bytes), c.decimal) << c.bytes;
    EXPECT_EQ(FormatMemory(c.bytes), c.binary) << c.bytes;
  }
}

struct MemoryCase {
  const char* text;
  int64_t bytes;
};

TEST(ParseMemory, TakesUnitsOf1024InAllSpellings) {
  for (const MemoryCase& c :
       {MemoryCase{"1048576", 1 << 20}, MemoryCase{"64m", 64 << 20}, MemoryCase{"64M", 64 << 20},
        MemoryCase{"64MiB", 64 << 20}, MemoryCase{"64mb", 64 << 20}, MemoryCase{"1.5g", 1610612736},
        MemoryCase{"512k", 512 << 10}, MemoryCase{"5b", 5}}) {
    const auto bytes = ParseMemory(c.text);
    ASSERT_TRUE(bytes.ok()) << c.text << ": " << bytes.status();
    EXPECT_EQ(*bytes, c.bytes) << c.text;
  }
}

TEST(ParseMemory, RefusesWhatIsNoAmount) {
  for (const char* text : {"", "m", "-5m", "0", "64x", "64mm", "1e3", "nan", "inf", "1.2.3m",
                           "99999999t", "5bb", "64 m", "\xff"}) {
    EXPECT_EQ(ParseMemory(text).status().code(), absl::StatusCode::kInvalidArgument) << text;
  }
}

TEST(ParseCpuQuota, IsMicrosecondsOfThePeriod) {
  EXPECT_EQ(*ParseCpuQuota("0.5"), 50000);
  EXPECT_EQ(*ParseCpuQuota("2"), 200000);
  EXPECT_EQ(*ParseCpuQuota("0.01"), 1000);
}

TEST(ParseCpuQuota, RefusesWhatTheKernelWould) {
  for (const char* text : {"", "0", "0.001", "-1", "half", "1e1", "9000"}) {
    EXPECT_EQ(ParseCpuQuota(text).status().code(), absl::StatusCode::kInvalidArgument) << text;
  }
}

}  // namespace
}  // namespace berth::cli
