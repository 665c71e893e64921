// The default profile as a table for people, kept in testdata/seccomp: what the compiled filter
// answers to each system call on each architecture, for four sets of capabilities. A change of the
// tables shows as a change of these files: BERTH_WRITE_GOLDEN=1 writes them anew.
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <seccomp.h>

#include <array>
#include <cstdlib>
#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "src/runtime/capabilities.h"
#include "src/runtime/seccomp_default.h"
#include "src/runtime/seccomp_filter.h"
#include "src/runtime/testing/filter_interpreter.h"

#if defined(__x86_64__)

namespace berth {
namespace {

constexpr int kNumbers = 1024;  // of an architecture; Linux has used up to 470

// "conditional" if the answer depends on the first argument.
std::string AnswerTo(const Profile& profile, const Arch& arch, int number) {
  const std::string first = profile.OfNumber(arch, number, {0});
  for (int bit = 0; bit < 32; ++bit) {
    for (const uint64_t argument : {uint64_t{1} << bit, (uint64_t{2} << bit) - 1, uint64_t{38}}) {
      if (profile.OfNumber(arch, number, {argument}) != first) return "conditional";
    }
  }
  return first;
}

// By name: the answers on the three architectures, "-" where there is no such call.
using Table = std::map<std::string, std::array<std::string, std::size(kArches)>>;

Table TableOf(const Profile& profile) {
  Table table;
  for (size_t i = 0; i < std::size(kArches); ++i) {
    const int base = kArches[i].scmp == SCMP_ARCH_X32 ? 0x40000000 : 0;
    for (int number = base; number < base + kNumbers; ++number) {
      char* name = seccomp_syscall_resolve_num_arch(kArches[i].scmp, number);
      if (name == nullptr) continue;
      table[name][i] = AnswerTo(profile, kArches[i], number);
      free(name);
    }
  }
  return table;
}

std::string ConditionOf(const SeccompRule& rule) {
  const SeccompArgument& on = rule.arguments[0];
  const std::string test =
      on.op == SCMP_CMP_MASKED_EQ
          ? absl::StrFormat("arg%d & %#x == %#x", on.index, on.value, on.value_two)
          : absl::StrFormat("arg%d == %#x", on.index, on.value);
  return absl::StrFormat("%-28s %-12s %s\n", rule.names[0], ActionName(rule.action), test);
}

std::string TextOf(uint64_t capabilities) {
  const SeccompRules rules = DefaultSeccompRules(capabilities);
  std::set<std::string> named;
  for (const SeccompRule& rule : rules.rules) named.insert(rule.names.begin(), rule.names.end());
  std::string text =
      absl::StrFormat("# Calls that are not here answer ENOSYS.\n%-28s %-12s %-12s %s\n", "# call",
                      "x86-64", "i386", "x32");
  for (auto& [name, answers] : TableOf(Profile(CompileSeccompRules(rules)))) {
    if (named.count(name) == 0) {
      // Not in a table: the sweep of SeccompProfile sees that it answers ENOSYS.
      continue;
    }
    const auto cell = [&](size_t i) { return answers[i].empty() ? "-" : answers[i].c_str(); };
    absl::StrAppendFormat(&text, "%-28s %-12s %-12s %s\n", name, cell(0), cell(1), cell(2));
  }
  absl::StrAppend(&text, "# conditions\n");
  for (const SeccompRule& rule : rules.rules)
    if (!rule.arguments.empty()) text += ConditionOf(rule);
  return text;
}

struct Set {
  const char* name;
  uint64_t capabilities;
};

class SeccompGolden : public testing::TestWithParam<Set> {};

TEST_P(SeccompGolden, IsAsWritten) {
  const std::string path =
      absl::StrCat(BERTH_SOURCE_DIR "/src/runtime/testdata/seccomp/", GetParam().name, ".txt");
  const std::string text = TextOf(GetParam().capabilities);
  if (getenv("BERTH_WRITE_GOLDEN") != nullptr) std::ofstream(path, std::ios::trunc) << text;
  std::stringstream golden;
  golden << std::ifstream(path).rdbuf();
  EXPECT_EQ(text, golden.str()) << path;
}

INSTANTIATE_TEST_SUITE_P(
    Capabilities, SeccompGolden,
    testing::Values(Set{"none", 0}, Set{"default", DefaultCapabilities()},
                    Set{"sys_admin", DefaultCapabilities() | uint64_t{1} << CAP_SYS_ADMIN},
                    Set{"all", ~uint64_t{0}}),
    [](const testing::TestParamInfo<Set>& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace berth

#endif
