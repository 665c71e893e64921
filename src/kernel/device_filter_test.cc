// The policy, its v1 lines, and its program, carried out by a small interpreter of those
// instructions that it is made of.
#include "src/kernel/device_filter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <string>
#include <vector>

namespace berth {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

struct Access {
  char type;
  uint32_t major, minor;
  std::string access;
};

uint32_t Bits(const std::string& access) {
  uint32_t bits = 0;
  for (char each : access)
    bits |= each == 'm'   ? BPF_DEVCG_ACC_MKNOD
            : each == 'r' ? BPF_DEVCG_ACC_READ
                          : BPF_DEVCG_ACC_WRITE;
  return bits;
}

bool Run(const std::vector<bpf_insn>& program, const Access& access) {
  const bpf_cgroup_dev_ctx context = {
      .access_type =
          Bits(access.access) << 16 |
          static_cast<uint32_t>(access.type == 'b' ? BPF_DEVCG_DEV_BLOCK : BPF_DEVCG_DEV_CHAR),
      .major = access.major,
      .minor = access.minor};
  std::array<uint64_t, 11> r = {};
  for (size_t at = 0; at < program.size(); ++at) {
    const bpf_insn& each = program[at];
    const uint64_t immediate = static_cast<uint64_t>(static_cast<int64_t>(each.imm));
    uint64_t& target = r[each.dst_reg];
    switch (each.code) {
      case BPF_LDX | BPF_MEM | BPF_W: {
        uint32_t word;
        std::memcpy(&word, reinterpret_cast<const char*>(&context) + each.off, sizeof(word));
        target = word;
        break;
      }
      case BPF_ALU64 | BPF_MOV | BPF_X:
        target = r[each.src_reg];
        break;
      case BPF_ALU64 | BPF_MOV | BPF_K:
        target = immediate;
        break;
      case BPF_ALU64 | BPF_AND | BPF_K:
        target &= immediate;
        break;
      case BPF_ALU64 | BPF_RSH | BPF_K:
        target >>= immediate;
        break;
      case BPF_JMP | BPF_JNE | BPF_K:
        if (target != immediate) at += each.off;
        break;
      case BPF_JMP | BPF_JEQ | BPF_K:
        if (target == immediate) at += each.off;
        break;
      case BPF_JMP32 | BPF_JNE | BPF_K:
        if (static_cast<uint32_t>(target) != static_cast<uint32_t>(immediate)) at += each.off;
        break;
      case BPF_JMP | BPF_EXIT:
        return r[0] != 0;
      default:
        ADD_FAILURE() << "instruction " << int{each.code};
        return false;
    }
  }
  ADD_FAILURE() << "the program runs over its end";
  return false;
}

bool Allows(const std::vector<DeviceRule>& more, const Access& access) {
  const absl::StatusOr<DevicePolicy> policy = MakeDevicePolicy(more);
  EXPECT_TRUE(policy.ok()) << policy.status();
  return policy.ok() && Run(BuildDeviceProgram(*policy), access);
}

std::vector<std::string> LinesV1(const std::vector<DeviceRule>& more) {
  const absl::StatusOr<DevicePolicy> policy = MakeDevicePolicy(more);
  if (!policy.ok()) return {policy.status().ToString()};
  const absl::StatusOr<std::vector<std::string>> lines = DeviceLinesV1(*policy);
  return lines.ok() ? *lines : std::vector<std::string>{lines.status().ToString()};
}

TEST(DeviceProgram, AllowsTheUsualDevicesAndNothingElse) {
  for (const auto& [major, minor] : std::vector<std::pair<uint32_t, uint32_t>>{
           {1, 3}, {1, 5}, {1, 7}, {1, 8}, {1, 9}, {5, 0}, {5, 1}, {5, 2}, {136, 0}, {136, 77}}) {
    EXPECT_TRUE(Allows({}, {'c', major, minor, "rw"})) << major << ":" << minor;
    EXPECT_FALSE(Allows({}, {'b', major, minor, "r"})) << major << ":" << minor;
  }
  EXPECT_FALSE(Allows({}, {'c', 1, 1, "r"}));
  EXPECT_FALSE(Allows({}, {'c', 1, 11, "w"}));
  EXPECT_FALSE(Allows({}, {'c', 10, 200, "rw"}));
  EXPECT_FALSE(Allows({}, {'b', 8, 0, "r"}));
}

TEST(DeviceProgram, AllowsToMakeAnyNode) {
  EXPECT_TRUE(Allows({}, {'c', 1, 1, "m"}));
  EXPECT_TRUE(Allows({}, {'b', 8, 0, "m"}));
  EXPECT_FALSE(Allows({}, {'b', 8, 0, "rm"}));
}

TEST(DeviceProgram, GivesADeviceTheAccessAskedForOnly) {
  const std::vector<DeviceRule> more = {{.type = 'b', .major = 8, .minor = 0, .access = "r"}};
  EXPECT_TRUE(Allows(more, {'b', 8, 0, "r"}));
  EXPECT_TRUE(Allows(more, {'b', 8, 0, "rm"})) << "mknod comes from the usual rules";
  EXPECT_FALSE(Allows(more, {'b', 8, 0, "rw"}));
  EXPECT_FALSE(Allows(more, {'b', 8, 1, "r"}));
}

TEST(DeviceProgram, AddsUpTheBitsOfSeveralRules) {
  const std::vector<DeviceRule> more = {{.type = 'c', .major = 10, .minor = 200, .access = "r"},
                                        {.type = 'c', .major = 10, .access = "w"}};
  EXPECT_TRUE(Allows(more, {'c', 10, 200, "rw"}));
  EXPECT_FALSE(Allows(more, {'c', 10, 201, "rw"}));
  EXPECT_TRUE(Allows(more, {'c', 10, 201, "w"}));
}

TEST(DeviceProgram, LetsTheLastRuleOfABitDecide) {
  const DeviceRule all_disks = {.type = 'b', .major = 8};
  const DeviceRule no_write = {.allow = false, .type = 'b', .major = 8, .minor = 1, .access = "w"};
  EXPECT_FALSE(Allows({all_disks, no_write}, {'b', 8, 1, "rw"}));
  EXPECT_TRUE(Allows({all_disks, no_write}, {'b', 8, 1, "r"}));
  EXPECT_TRUE(Allows({all_disks, no_write}, {'b', 8, 2, "rw"}));
  EXPECT_TRUE(Allows({no_write, all_disks}, {'b', 8, 1, "rw"}));
}

TEST(DeviceProgram, LiftsAllAndGoesBackToTheUsual) {
  EXPECT_TRUE(Allows({{.allow = true}}, {'b', 8, 0, "rwm"}));
  EXPECT_FALSE(Allows({{.allow = true}, {.allow = false}}, {'b', 8, 0, "r"}));
  EXPECT_TRUE(Allows({{.allow = true}, {.allow = false}}, {'c', 1, 3, "rw"}));
  const std::vector<DeviceRule> all_but_mem = {
      {.allow = true}, {.allow = false, .type = 'c', .major = 1, .minor = 1}};
  EXPECT_FALSE(Allows(all_but_mem, {'c', 1, 1, "r"}));
  EXPECT_TRUE(Allows(all_but_mem, {'c', 1, 3, "rw"}));
}

TEST(DeviceProgram, ComparesNumbersOf32Bits) {
  const std::vector<DeviceRule> more = {{.type = 'c', .major = 0xfffffff0, .minor = 0x80000000}};
  EXPECT_TRUE(Allows(more, {'c', 0xfffffff0, 0x80000000, "r"}));
  EXPECT_FALSE(Allows(more, {'c', 0xfffffff1, 0x80000000, "r"}));
}

TEST(DeviceLinesV1, AreTheExceptions) {
  EXPECT_THAT(LinesV1({}), AllOf(Contains("c *:* m"), Contains("b *:* m"), Contains("c 1:3 rwm"),
                                 Contains("c 136:* rwm")));
  EXPECT_THAT(LinesV1({{.type = 'b', .major = 8, .minor = 0, .access = "rw"}}),
              Contains("b 8:0 rw"));
  EXPECT_THAT(LinesV1({{.allow = true}}), IsEmpty());
  EXPECT_THAT(LinesV1({{.allow = true}, {.allow = false, .type = 'c', .major = 1}}),
              ElementsAre("c 1:* rwm"));
}

TEST(DeviceLinesV1, TakeBackWhatALaterRuleCovers) {
  const std::vector<std::string> lines =
      LinesV1({{.type = 'b', .major = 8, .minor = 0},
               {.allow = false, .type = 'b', .major = 8, .access = "w"},
               {.allow = false, .type = 'c', .major = 5, .minor = 1, .access = "rw"}});
  EXPECT_THAT(lines, Contains("b 8:0 rm"));
  EXPECT_THAT(lines, Contains("c 5:1 m"));
}

TEST(DeviceLinesV1, RefuseAHoleInAWildcard) {
  EXPECT_THAT(LinesV1({{.type = 'b', .major = 8},
                       {.allow = false, .type = 'b', .major = 8, .minor = 1, .access = "w"}}),
              ElementsAre(AllOf(HasSubstr("INVALID_ARGUMENT"), HasSubstr("b 8:1 w"))));
}

TEST(MakeDevicePolicy, RefusesWhatIsNoRule) {
  for (const DeviceRule& rule : std::vector<DeviceRule>{
           {.type = 'p'}, {.type = 'c', .access = ""}, {.type = 'c', .access = "rx"}}) {
    EXPECT_EQ(MakeDevicePolicy({rule}).status().code(), absl::StatusCode::kInvalidArgument);
  }
}

}  // namespace
}  // namespace berth
