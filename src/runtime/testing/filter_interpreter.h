// A compiled filter, run by an interpreter of classic BPF as the kernel would run it, for each
// architecture that a process of an x86-64 kernel can call through. For tests.
#pragma once

#include <gtest/gtest.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>

#include <algorithm>
#include <cstring>
#include <initializer_list>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "src/runtime/spec.h"

namespace berth {

// One call as the filter sees it.
struct FilterCall {
  uint32_t arch = AUDIT_ARCH_X86_64;
  int number = 0;
  uint64_t args[6] = {};
};

// The instructions that seccomp(2) admits, on a well-formed program; nullopt if it is not one.
inline std::optional<uint32_t> RunFilter(const std::vector<sock_filter>& program,
                                         const FilterCall& call) {
  seccomp_data data = {};
  data.nr = call.number;
  data.arch = call.arch;
  std::copy(std::begin(call.args), std::end(call.args), data.args);
  uint32_t a = 0, x = 0, memory[BPF_MEMWORDS] = {};
  for (size_t at = 0; at < program.size(); ++at) {
    const sock_filter& instruction = program[at];
    const uint32_t k = instruction.k;
    const uint32_t operand = BPF_SRC(instruction.code) == BPF_X ? x : k;
    switch (BPF_CLASS(instruction.code)) {
      case BPF_LD:
        if (BPF_MODE(instruction.code) == BPF_ABS && k % 4 == 0 && k + 4 <= sizeof(data)) {
          std::memcpy(&a, reinterpret_cast<const char*>(&data) + k, sizeof(a));
        } else if (BPF_MODE(instruction.code) == BPF_MEM && k < BPF_MEMWORDS) {
          a = memory[k];
        } else if (BPF_MODE(instruction.code) == BPF_IMM) {
          a = k;
        } else {
          return std::nullopt;
        }
        break;
      case BPF_ST:
        memory[k % BPF_MEMWORDS] = a;
        break;
      case BPF_ALU:
        if (BPF_OP(instruction.code) != BPF_AND) return std::nullopt;
        a &= operand;
        break;
      case BPF_MISC:
        (BPF_MISCOP(instruction.code) == BPF_TAX ? x : a) =
            BPF_MISCOP(instruction.code) == BPF_TAX ? a : x;
        break;
      case BPF_JMP: {
        if (BPF_OP(instruction.code) == BPF_JA) {
          at += k;
          break;
        }
        bool taken = false;
        switch (BPF_OP(instruction.code)) {
          case BPF_JEQ:
            taken = a == operand;
            break;
          case BPF_JGT:
            taken = a > operand;
            break;
          case BPF_JGE:
            taken = a >= operand;
            break;
          case BPF_JSET:
            taken = (a & operand) != 0;
            break;
          default:
            return std::nullopt;
        }
        at += taken ? instruction.jt : instruction.jf;
        break;
      }
      case BPF_RET:
        return BPF_RVAL(instruction.code) == BPF_A ? a : k;
      default:
        return std::nullopt;
    }
  }
  return std::nullopt;  // ran off the end
}

inline std::string ActionName(std::optional<uint32_t> action) {
  if (!action) return "broken program";
  switch (*action & SECCOMP_RET_ACTION_FULL) {
    case SECCOMP_RET_ALLOW:
      return "allow";
    case SECCOMP_RET_LOG:
      return "log";
    case SECCOMP_RET_TRAP:
      return "trap";
    case SECCOMP_RET_KILL_PROCESS:
      return "kill process";
    case SECCOMP_RET_KILL_THREAD:
      return "kill thread";
    case SECCOMP_RET_USER_NOTIF:
      return "notify";
    case SECCOMP_RET_TRACE:
      return "trace " + std::to_string(*action & SECCOMP_RET_DATA);
  }
  if ((*action & SECCOMP_RET_ACTION_FULL) == SECCOMP_RET_ERRNO)
    return strerrorname_np(*action & SECCOMP_RET_DATA);
  return "action " + std::to_string(*action);
}

struct Arch {
  const char* name;
  uint32_t audit, scmp;
};
inline constexpr Arch kArches[] = {{"x86-64", AUDIT_ARCH_X86_64, SCMP_ARCH_X86_64},
                                   {"i386", AUDIT_ARCH_I386, SCMP_ARCH_X86},
                                   {"x32", AUDIT_ARCH_X86_64, SCMP_ARCH_X32}};

// The number of a call on an architecture; negative if it has none. x32's carry __X32_SYSCALL_BIT.
inline int Number(const Arch& arch, const char* name) {
  return seccomp_syscall_resolve_name_arch(arch.scmp, name);
}

class Profile {
 public:
  explicit Profile(const absl::StatusOr<SeccompProgram>& compiled) {
    EXPECT_TRUE(compiled.ok()) << compiled.status();
    if (!compiled.ok()) return;
    EXPECT_EQ(compiled->filter.size() % sizeof(sock_filter), 0u);
    program_.resize(compiled->filter.size() / sizeof(sock_filter));
    std::memcpy(program_.data(), compiled->filter.data(), program_.size() * sizeof(sock_filter));
  }
  const std::vector<sock_filter>& program() const { return program_; }

  std::string OfNumber(const Arch& arch, int number,
                       std::initializer_list<uint64_t> args = {}) const {
    FilterCall call{.arch = arch.audit, .number = number};
    std::copy(args.begin(), args.end(), call.args);
    return ActionName(RunFilter(program_, call));
  }
  std::string Of(const Arch& arch, const char* name,
                 std::initializer_list<uint64_t> args = {}) const {
    return OfNumber(arch, Number(arch, name), args);
  }

 private:
  std::vector<sock_filter> program_;
};

}  // namespace berth
