// berth-monitor's reader of plans.
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <vector>

#include "src/base/unique_fd.h"
#include "src/runtime/container_plan.h"
#include "src/runtime/launch_plan.h"
#include "src/runtime/monitor/plan.h"

namespace berth::monitor {
namespace {

UniqueFd FileOf(const std::string& content) {
  UniqueFd file(memfd_create("test", MFD_CLOEXEC));
  EXPECT_EQ(write(file.get(), content.data(), content.size()),
            static_cast<ssize_t>(content.size()));
  return file;
}

// True if the reader takes it; then every step and string is walked and must lie inside of the
// plan.
bool Accepts(const std::string& bytes) {
  const UniqueFd file = FileOf(bytes);
  Plan plan;
  errno = 0;
  if (!plan.Map(file.get())) {
    EXPECT_EQ(errno, EBADMSG);
    return false;
  }
  const char* at = plan.begin();
  const char* const end = at - sizeof(wire::PlanHeader) + bytes.size();
  for (uint32_t i = 0; i < plan.step_count(); ++i) {
    if (end - at < static_cast<ptrdiff_t>(sizeof(wire::StepHeader)))
      return ADD_FAILURE() << "step " << i, true;
    const Step step(at);
    const char* cursor = step.strings();
    for (uint32_t s = 0; s < step.string_count(); ++s) {
      if (end - cursor < 5) return ADD_FAILURE() << "string " << s << " of step " << i, true;
      const std::string_view text = NextString(&cursor);
      if (cursor > end) return ADD_FAILURE() << "string " << s << " of step " << i, true;
      EXPECT_EQ(text.data()[text.size()], '\0');
    }
    EXPECT_EQ(cursor, at + step.bytes());
    at += step.bytes();
  }
  EXPECT_EQ(at, end);
  return true;
}

LaunchPlan SmallPlan() {
  LaunchPlan plan;
  plan.steps.push_back({.op = wire::Op::kSymlink, .strings = {"/dev/fd", "/proc/self/fd"}});
  plan.steps.push_back({.op = wire::Op::kSeccomp, .strings = {std::string("\0\1\2\0", 4)}});
  plan.steps.push_back({.op = wire::Op::kPivotRoot});
  plan.steps.push_back({.op = wire::Op::kExec, .strings = {"sh", "", "A=b"}, .a = 2, .b = 1});
  return plan;
}

TEST(PlanReader, ReadsWhatTheWriterWrote) {
  const UniqueFd file = FileOf(EncodePlan(SmallPlan()));
  Plan plan;
  ASSERT_TRUE(plan.Map(file.get()));
  ASSERT_EQ(plan.step_count(), 4u);
  const char* at = plan.begin();
  for (const PlanStep& expected : SmallPlan().steps) {
    const Step step(at);
    EXPECT_EQ(step.op(), expected.op);
    EXPECT_EQ(step.a(), expected.a);
    EXPECT_EQ(step.b(), expected.b);
    ASSERT_EQ(step.string_count(), expected.strings.size());
    for (size_t i = 0; i < expected.strings.size(); ++i)
      EXPECT_EQ(step.String(i), expected.strings[i]);
    EXPECT_EQ(step.String(step.string_count()), "");
    EXPECT_EQ(step.String(~0u), "");
    at += step.bytes();
  }
}

TEST(PlanReader, TakesAnEmptyPlanAndAWholeContainersPlan) {
  EXPECT_TRUE(Accepts(EncodePlan({})));
  const ContainerSpec spec = {
      .layers = {"layers/1"}, .args = {"sh"}, .masked_paths = {"/proc/kcore"}};
  EXPECT_TRUE(Accepts(EncodePlan(BuildContainerPlan(spec, {.v1_hierarchies = {"memory"}}, {}))));
}

TEST(PlanReader, RefusesEveryTruncation) {
  const std::string whole = EncodePlan(SmallPlan());
  for (size_t size = 0; size < whole.size(); ++size) {
    EXPECT_FALSE(Accepts(whole.substr(0, size))) << size;
    // Also with a header that tells of the shorter size.
    std::string honest = whole.substr(0, size);
    if (size < sizeof(wire::PlanHeader)) continue;
    const auto told = static_cast<uint32_t>(size);
    std::memcpy(honest.data() + 4, &told, sizeof(told));
    EXPECT_FALSE(Accepts(honest)) << size;
  }
}

TEST(PlanReader, RefusesBytesBehindTheEnd) {
  std::string longer = EncodePlan(SmallPlan()) + std::string(1, '\0');
  EXPECT_FALSE(Accepts(longer));
  const auto told = static_cast<uint32_t>(longer.size());
  std::memcpy(longer.data() + 4, &told, sizeof(told));
  EXPECT_FALSE(Accepts(longer));
}

TEST(PlanReader, NeverLeavesThePlanWhateverByteIsChanged) {
  const std::string whole = EncodePlan(SmallPlan());
  for (size_t at = 0; at < whole.size(); ++at) {
    for (int value = 0; value < 256; ++value) {
      std::string changed = whole;
      changed[at] = static_cast<char>(value);
      Accepts(changed);
    }
  }
}

TEST(PlanReader, NeverLeavesThePlanWhateverLengthIsChanged) {
  const std::string whole = EncodePlan(SmallPlan());
  for (size_t at = 0; at + sizeof(uint32_t) <= whole.size(); ++at) {
    for (const uint32_t length :
         {0u, 1u, 35u, 36u, 37u, 0x7fffffffu, 0x80000000u, 0xfffffffau, 0xfffffffbu, 0xffffffffu}) {
      std::string changed = whole;
      std::memcpy(changed.data() + at, &length, sizeof(length));
      Accepts(changed);
    }
  }
}

// The field at `offset` of the first step's header, or of the plan's header for a negative one.
TEST(PlanReader, RefusesHeadersThatDoNotAgreeWithWhatFollows) {
  const std::string whole = EncodePlan(SmallPlan());
  const struct {
    const char* what;
    size_t offset;
  } fields[] = {{"magic", 0},
                {"bytes of the plan", 4},
                {"step count", 8},
                {"string count", 16 + 4},
                {"bytes of the step", 16 + 8}};
  for (const auto& field : fields) {
    uint32_t value;
    std::memcpy(&value, whole.data() + field.offset, sizeof(value));
    for (const uint32_t wrong : {value - 1, value + 1, 0u, 0xffffffffu}) {
      std::string changed = whole;
      std::memcpy(changed.data() + field.offset, &wrong, sizeof(wrong));
      EXPECT_FALSE(Accepts(changed)) << field.what << " = " << wrong;
    }
  }
}

TEST(PlanReader, RefusesAStringWithoutItsNul) {
  std::string bytes = EncodePlan(SmallPlan());
  const size_t nul = bytes.find("/dev/fd") + strlen("/dev/fd");
  ASSERT_EQ(bytes[nul], '\0');
  bytes[nul] = 'x';
  EXPECT_FALSE(Accepts(bytes));
}

TEST(PlanReader, RefusesMoreStringsThanItsLimit) {
  LaunchPlan plan;
  plan.steps.push_back(
      {.op = wire::Op::kExec, .strings = std::vector<std::string>(wire::kStepMaxStrings)});
  EXPECT_TRUE(Accepts(EncodePlan(plan)));
  plan.steps[0].strings.emplace_back();
  EXPECT_FALSE(Accepts(EncodePlan(plan)));
}

TEST(PlanReader, RefusesAFileThatIsTooLargeOrNoFile) {
  const UniqueFd large(memfd_create("large", MFD_CLOEXEC));
  ASSERT_EQ(ftruncate(large.get(), wire::kPlanMaxBytes + 1), 0);
  Plan plan;
  EXPECT_FALSE(plan.Map(large.get()));
  EXPECT_EQ(errno, EBADMSG);
  Plan none;
  EXPECT_FALSE(none.Map(-1));
  EXPECT_EQ(errno, EBADF);
}

}  // namespace
}  // namespace berth::monitor
