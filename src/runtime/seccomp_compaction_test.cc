#include "src/runtime/seccomp_compaction.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <random>

#include "src/base/unique_fd.h"
#include "src/runtime/testing/filter_interpreter.h"

#if defined(__x86_64__)

namespace berth {
namespace {

using Program = std::vector<sock_filter>;

constexpr uint32_t kActions[] = {SCMP_ACT_ALLOW, SCMP_ACT_ERRNO(EPERM), SCMP_ACT_KILL_PROCESS,
                                 SCMP_ACT_LOG, SCMP_ACT_NOTIFY};
constexpr int kNumbers = 480;  // of an architecture; libseccomp knows those below

Program Exported(scmp_filter_ctx filter) {
  const UniqueFd file(memfd_create("filter", MFD_CLOEXEC));
  EXPECT_EQ(seccomp_export_bpf(filter, file.get()), 0);
  Program program(static_cast<size_t>(lseek(file.get(), 0, SEEK_END)) / sizeof(sock_filter));
  const size_t bytes = program.size() * sizeof(sock_filter);
  EXPECT_EQ(pread(file.get(), program.data(), bytes, 0), static_cast<ssize_t>(bytes));
  return program;
}

// What libseccomp makes of rules by chance.
class Drawn {
 public:
  explicit Drawn(unsigned seed) : random_(seed) {}

  int Below(int end) { return std::uniform_int_distribution<int>(0, end - 1)(random_); }
  uint64_t Argument() {
    const uint64_t high = Below(2) == 0 ? 0 : uint64_t{1} << 32;
    return high + static_cast<uint64_t>(Below(4));
  }

  Program Filter(int rules, bool tree) {
    const scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
    for (const uint32_t architecture : {SCMP_ARCH_X86, SCMP_ARCH_X32}) {
      if (Below(3) != 0) seccomp_arch_add(filter, architecture);
    }
    seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, tree ? 2 : 1);
    for (int i = 0; i < rules; ++i) {
      const uint32_t action = kActions[Below(std::size(kActions))];
      const int number = Below(kNumbers);
      const scmp_arg_cmp on = {.arg = static_cast<unsigned>(Below(6)),
                               .op = static_cast<scmp_compare>(1 + Below(7)),
                               .datum_a = Argument(),
                               .datum_b = Argument()};
      seccomp_rule_add_array(filter, action, number, Below(4) == 0 ? 1 : 0, &on);  // or refused
    }
    const Program program = Exported(filter);
    seccomp_release(filter);
    return program;
  }

 private:
  std::mt19937 random_;
};

// Calls whose answers differ, of all numbers and some beyond them.
int Differences(const Program& one, const Program& other, Drawn& drawn) {
  int found = 0;
  for (const uint32_t arch :
       {uint32_t{AUDIT_ARCH_X86_64}, uint32_t{AUDIT_ARCH_I386}, uint32_t{AUDIT_ARCH_ARM}}) {
    for (const uint32_t base : {0u, 0x3ffffe00u, 0x40000000u, 0x7ffffe00u, 0xfffffe00u}) {
      for (uint32_t number = base; number - base < 512; ++number) {
        FilterCall call{.arch = arch, .number = static_cast<int>(number)};
        for (uint64_t& argument : call.args) argument = drawn.Argument();
        const std::optional<uint32_t> answer = RunFilter(one, call);
        found += !answer || answer != RunFilter(other, call);
      }
    }
  }
  return found;
}

TEST(CompactFilter, AnswersAsBeforeInFewerInstructions) {
  for (unsigned seed = 0; seed < 60; ++seed) {
    Drawn drawn(seed);
    const Program program = drawn.Filter(10 << drawn.Below(6), seed % 2 == 0);
    const Program compact = CompactFilter(program);
    EXPECT_LE(compact.size(), program.size());
    for (int i = 0; i < 4; ++i) EXPECT_EQ(Differences(program, compact, drawn), 0) << seed;
  }
}

TEST(CompactFilter, JoinsNeighbours) {
  const scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
  for (int number = 0; number < 300; ++number)
    ASSERT_EQ(seccomp_rule_add(filter, SCMP_ACT_ALLOW, number, 0), 0);
  const Program program = Exported(filter);
  seccomp_release(filter);
  EXPECT_GT(program.size(), 300u);
  EXPECT_LT(CompactFilter(program).size(), 12u);
}

TEST(CompactFilter, LeavesWhatItDoesNotUnderstand) {
  const Program programs[] = {
      {},
      {BPF_STMT(BPF_LD | BPF_W | BPF_LEN, 0), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)},
      {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0), BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 1),
       BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 1, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
       BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL)},
      {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0), BPF_STMT(BPF_RET | BPF_A, 0)},
  };
  for (const Program& program : programs) {
    const Program compact = CompactFilter(program);
    ASSERT_EQ(compact.size(), program.size());
    for (size_t i = 0; i < program.size(); ++i)
      EXPECT_EQ(std::memcmp(&compact[i], &program[i], sizeof(sock_filter)), 0) << i;
  }
}

}  // namespace
}  // namespace berth

#endif
