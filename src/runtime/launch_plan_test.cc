#include "src/runtime/launch_plan.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <set>
#include <string>

namespace berth {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using wire::Op;

constexpr int kLastOp = static_cast<int>(Op::kCreateUserNamespace);

std::string Bytes(std::initializer_list<int> values) {
  std::string out;
  for (const int value : values) out.push_back(static_cast<char>(value));
  return out;
}

TEST(EncodePlan, AnEmptyPlanIsItsHeader) {
  EXPECT_EQ(EncodePlan({}), Bytes({'B', 'P', 'L', '1',  // magic
                                   16, 0, 0, 0,         // bytes of the whole plan
                                   0, 0, 0, 0,          // steps
                                   0, 0, 0, 0}));       // reserved
}

TEST(EncodePlan, AStepIsItsHeaderAndItsCountedNulTerminatedStrings) {
  LaunchPlan plan;
  plan.steps.push_back(
      {.op = Op::kSymlink, .strings = {"ab", ""}, .a = 1, .b = -2, .c = 0x0102030405060708});
  EXPECT_EQ(EncodePlan(plan),
            Bytes({'B',  'P',  'L',  '1',  64,   0,    0,    0,    1, 0, 0, 0, 0, 0, 0, 0,  //
                   12,   0,    0,    0,                             // op, reserved
                   2,    0,    0,    0,                             // strings
                   48,   0,    0,    0,                             // bytes of the step
                   1,    0,    0,    0,    0,    0,    0,    0,     // a
                   0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,  // b
                   8,    7,    6,    5,    4,    3,    2,    1,     // c
                   2,    0,    0,    0,    'a',  'b',  0,           //
                   0,    0,    0,    0,    0}));
}

TEST(EncodePlan, KeepsNulBytesInsideOfStrings) {
  LaunchPlan plan;
  plan.steps.push_back({.op = Op::kSeccomp, .strings = {std::string("\0\1\0", 3)}});
  EXPECT_EQ(EncodePlan(plan).substr(sizeof(wire::PlanHeader) + sizeof(wire::StepHeader)),
            Bytes({3, 0, 0, 0, 0, 1, 0, 0}));
}

// Numbers on the wire never change their meaning: docs/formats/launch-plan.md.
TEST(WireOps, KeepTheirNumbers) {
  EXPECT_EQ(static_cast<int>(Op::kJoinCgroup), 1);
  EXPECT_EQ(static_cast<int>(Op::kMountOverlay), 8);
  EXPECT_EQ(static_cast<int>(Op::kPivotRoot), 13);
  EXPECT_EQ(static_cast<int>(Op::kSeccomp), 25);
  EXPECT_EQ(static_cast<int>(Op::kExec), 26);
  EXPECT_EQ(static_cast<int>(Op::kDropBounding), 29);
  EXPECT_EQ(static_cast<int>(Op::kEnterUserNamespace), 33);
  EXPECT_EQ(static_cast<int>(Op::kCreateUserNamespace), 40);
  EXPECT_EQ(sizeof(wire::PlanHeader), 16u);
  EXPECT_EQ(sizeof(wire::StepHeader), 36u);
}

TEST(DescribeStep, KnowsEachOperationByANameOfItsOwn) {
  std::set<std::string> names;
  for (int op = 1; op <= kLastOp; ++op) {
    const std::string line = DescribeStep({.op = static_cast<Op>(op), .strings = {"", "", ""}});
    names.insert(line.substr(0, line.find(' ')));
  }
  EXPECT_EQ(names.size(), static_cast<size_t>(kLastOp));
}

TEST(DescribePlan, ShowsArgumentsButNoValueOfTheEnvironment) {
  LaunchPlan plan;
  plan.steps.push_back({.op = Op::kChdir, .strings = {"/srv"}});
  plan.steps.push_back({.op = Op::kExec,
                        .strings = {"sh", "-c", "PASSWORD=hunter2", "TOKEN=s3cret"},
                        .a = 2,
                        .b = 2});
  const std::vector<std::string> lines = DescribePlan(plan);
  EXPECT_THAT(lines, ElementsAre("chdir /srv", "exec sh -c (2 environment variables)"));
  for (const std::string& line : lines) {
    EXPECT_THAT(line, Not(HasSubstr("hunter2")));
    EXPECT_THAT(line, Not(HasSubstr("TOKEN")));
  }
}

TEST(DescribeStep, ShowsBinaryOperandsAsTheirSize) {
  EXPECT_EQ(DescribeStep({.op = Op::kSeccomp, .strings = {std::string(24, '\xff')}}),
            "load-seccomp a=0x0 3 instructions");
  EXPECT_EQ(DescribeStep(
                {.op = Op::kSetIdentity, .strings = {std::string(8, '\1')}, .a = 1000, .b = 100}),
            "set-identity a=0x3e8 b=0x64 2 groups");
}

TEST(DescribeStep, ShowsAHookWithoutItsStateAndItsEnvironment) {
  EXPECT_EQ(DescribeStep({.op = Op::kHook,
                          .strings = {"{\"id\":\"c\"}", "/bin/hook", "-v", "TOKEN=s3cret"},
                          .a = 2,
                          .b = 1,
                          .c = 1000}),
            "hook c=0x3e8 /bin/hook -v (1 environment variables)");
}

TEST(DescribeStep, NamesTheSlotOfATree) {
  EXPECT_EQ(DescribeStep({.op = Op::kBind, .strings = {"/v"}, .a = wire::TreeSlot(3)}),
            "bind a=slot3 b=0x0 c=0x0 /v");
  EXPECT_EQ(DescribeStep({.op = Op::kIdmapTree, .a = wire::TreeSlot(0), .b = 2}),
            "id-map-tree a=slot0 b=0x2");
}

TEST(DescribeStep, KeepsListsOnItsOneLine) {
  EXPECT_EQ(DescribeStep({.op = Op::kMount, .strings = {"tmpfs", "/t", "mode=755\nsize=4k"}}),
            "mount a=0x0 tmpfs /t mode=755,size=4k");
  EXPECT_EQ(
      DescribeStep({.op = Op::kCreateUserNamespace, .strings = {"0 1000 10\n", "0 2000 5\n"}}),
      "create-user-namespace a=0x0 0 1000 10 0 2000 5");
}

TEST(DescribeStep, ShowsNegativeOperandsWithTheirSign) {
  EXPECT_EQ(DescribeStep({.op = Op::kStdio, .a = wire::kNull, .b = wire::kLogStdout, .c = 4}),
            "stdio a=-1 b=-2 c=0x4");
}

TEST(PlanFd, HoldsTheEncodedPlanAndIsSealed) {
  LaunchPlan plan;
  plan.steps.push_back({.op = Op::kChdir, .strings = {"/"}});
  absl::StatusOr<UniqueFd> fd = PlanFd(plan);
  ASSERT_TRUE(fd.ok()) << fd.status();
  std::string content(1024, '\0');
  const ssize_t n = pread(fd->get(), content.data(), content.size(), 0);
  ASSERT_GT(n, 0);
  EXPECT_EQ(content.substr(0, n), EncodePlan(plan));
  EXPECT_EQ(fcntl(fd->get(), F_GET_SEALS),
            F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
  EXPECT_EQ(pwrite(fd->get(), "x", 1, 0), -1);
  EXPECT_EQ(ftruncate(fd->get(), 0), -1);
  EXPECT_NE(fcntl(fd->get(), F_GETFD) & FD_CLOEXEC, 0);
}

LaunchPlan PlanOfBytes(size_t bytes) {
  const size_t rest = sizeof(wire::PlanHeader) + sizeof(wire::StepHeader) + sizeof(uint32_t) + 1;
  LaunchPlan plan;
  plan.steps.push_back({.op = Op::kChdir, .strings = {std::string(bytes - rest, 'x')}});
  return plan;
}

TEST(PlanFd, TakesAPlanOfTheLargestSizeAndRefusesAByteMore) {
  EXPECT_TRUE(PlanFd(PlanOfBytes(wire::kPlanMaxBytes)).ok());
  const absl::Status refused = PlanFd(PlanOfBytes(wire::kPlanMaxBytes + 1)).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("8388609 bytes"));
}

// The monitor refuses such a plan: the caller is to hear why, not "bad message".
TEST(PlanFd, RefusesAStepOfMoreStringsThanTheReaderTakes) {
  LaunchPlan plan;
  plan.steps.push_back({.op = Op::kExec,
                        .strings = std::vector<std::string>(wire::kStepMaxStrings, "a"),
                        .a = wire::kStepMaxStrings});
  EXPECT_TRUE(PlanFd(plan).ok());
  plan.steps[0].strings.push_back("a");
  EXPECT_EQ(PlanFd(plan).status().code(), absl::StatusCode::kResourceExhausted);
}

}  // namespace
}  // namespace berth
