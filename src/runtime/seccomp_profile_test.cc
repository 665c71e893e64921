// The compiled filter, run by an interpreter of classic BPF as the kernel would run it, for each
// architecture that a process of an x86-64 kernel can call through.
#include "src/runtime/seccomp_profile.h"

#include <gtest/gtest.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "src/runtime/capabilities.h"
#include "src/runtime/seccomp_tables.h"

#if defined(__x86_64__)

namespace berth {
namespace {

constexpr uint64_t Bit(int capability) { return uint64_t{1} << capability; }

// One call as the filter sees it.
struct Call {
  uint32_t arch = AUDIT_ARCH_X86_64;
  int number = 0;
  uint64_t args[6] = {};
};

// The instructions that seccomp(2) admits, on a well-formed program; nullopt if it is not one.
std::optional<uint32_t> Run(const std::vector<sock_filter>& program, const Call& call) {
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

std::string ActionName(std::optional<uint32_t> action) {
  if (!action) return "broken program";
  if (*action == SECCOMP_RET_ALLOW) return "allow";
  if ((*action & SECCOMP_RET_ACTION_FULL) == SECCOMP_RET_ERRNO)
    return strerrorname_np(*action & SECCOMP_RET_DATA);
  return "action " + std::to_string(*action);
}

struct Arch {
  const char* name;
  uint32_t audit, scmp;
};
constexpr Arch kArches[] = {{"x86-64", AUDIT_ARCH_X86_64, SCMP_ARCH_X86_64},
                            {"i386", AUDIT_ARCH_I386, SCMP_ARCH_X86},
                            {"x32", AUDIT_ARCH_X86_64, SCMP_ARCH_X32}};

// The number of a call on an architecture; negative if it has none. x32's carry __X32_SYSCALL_BIT.
int Number(const Arch& arch, const char* name) {
  return seccomp_syscall_resolve_name_arch(arch.scmp, name);
}

class Profile {
 public:
  explicit Profile(uint64_t capabilities = DefaultCapabilities()) {
    absl::StatusOr<std::string> compiled = CompileDefaultSeccompProfile(capabilities);
    EXPECT_TRUE(compiled.ok()) << compiled.status();
    if (!compiled.ok()) return;
    EXPECT_EQ(compiled->size() % sizeof(sock_filter), 0u);
    program_.resize(compiled->size() / sizeof(sock_filter));
    std::memcpy(program_.data(), compiled->data(), program_.size() * sizeof(sock_filter));
  }
  const std::vector<sock_filter>& program() const { return program_; }

  std::string OfNumber(const Arch& arch, int number,
                       std::initializer_list<uint64_t> args = {}) const {
    Call call{.arch = arch.audit, .number = number};
    std::copy(args.begin(), args.end(), call.args);
    return ActionName(Run(program_, call));
  }
  std::string Of(const Arch& arch, const char* name,
                 std::initializer_list<uint64_t> args = {}) const {
    return OfNumber(arch, Number(arch, name), args);
  }

 private:
  std::vector<sock_filter> program_;
};

const Profile& Default() {
  static const Profile* profile = new Profile();
  return *profile;
}
const Profile& Admin() {
  static const Profile* profile = new Profile(DefaultCapabilities() | Bit(CAP_SYS_ADMIN));
  return *profile;
}

TEST(SeccompProfile, FitsTheKernelsLimitOfInstructions) {
  EXPECT_GT(Default().program().size(), 100u);
  EXPECT_LE(Default().program().size(), static_cast<size_t>(BPF_MAXINSNS));
  EXPECT_LE(Profile(~uint64_t{0}).program().size(), static_cast<size_t>(BPF_MAXINSNS));
}

TEST(SeccompProfile, AllowsEachCallOfTheAllowedTable) {
  for (const Arch& arch : kArches) {
    for (const char* name : kAllowedSyscalls) {
      const int number = Number(arch, name);
      if (number < 0) continue;  // not there, or one of socketcall's and ipc's
      EXPECT_EQ(Default().OfNumber(arch, number), "allow") << arch.name << " " << name;
    }
  }
}

TEST(SeccompProfile, DeniesEachCallOfTheDeniedTableWhateverTheCapabilities) {
  const Profile mighty(~uint64_t{0});
  for (const Arch& arch : kArches) {
    for (const char* name : kDeniedSyscalls) {
      const int number = Number(arch, name);
      if (number < 0) continue;
      for (const uint64_t first : {0, 1, 2, 3, 38, 255}) {
        EXPECT_EQ(Default().OfNumber(arch, number, {first}), "EPERM") << arch.name << " " << name;
        EXPECT_EQ(mighty.OfNumber(arch, number, {first}), "EPERM") << arch.name << " " << name;
      }
    }
  }
}

TEST(SeccompProfile, DeniesWhatKernelsAreBrokenInto) {
  for (const Arch& arch : kArches) {
    for (const char* name : {"io_uring_setup",
                             "io_uring_enter",
                             "io_uring_register",
                             "bpf",
                             "keyctl",
                             "add_key",
                             "request_key",
                             "userfaultfd",
                             "mount",
                             "umount2",
                             "unshare",
                             "setns",
                             "pivot_root",
                             "move_mount",
                             "fsopen",
                             "open_tree",
                             "mount_setattr",
                             "init_module",
                             "finit_module",
                             "delete_module",
                             "kexec_load",
                             "open_by_handle_at",
                             "perf_event_open",
                             "reboot",
                             "swapon",
                             "ioperm",
                             "iopl",
                             "settimeofday",
                             "clock_settime"}) {
      ASSERT_GE(Number(arch, name), 0) << arch.name << " " << name;
      EXPECT_EQ(Default().Of(arch, name), "EPERM") << arch.name << " " << name;
    }
  }
}

TEST(SeccompProfile, OpensAGuardedCallToItsCapabilityAndToNoOther) {
  for (const GuardedSyscall& guarded : kGuardedSyscalls) {
    const Profile with(Bit(guarded.capability));
    const Profile others(~(Bit(guarded.capability) | Bit(CAP_SYS_ADMIN)));
    for (const Arch& arch : kArches) {
      const int number = Number(arch, guarded.name);
      if (number < 0) continue;
      EXPECT_EQ(with.OfNumber(arch, number), "allow") << arch.name << " " << guarded.name;
      EXPECT_EQ(others.OfNumber(arch, number), "EPERM") << arch.name << " " << guarded.name;
    }
  }
}

// CAP_BPF and CAP_PERFMON were cut out of CAP_SYS_ADMIN, which still includes them
// (capabilities(7)).
TEST(SeccompProfile, SysAdminIncludesWhatWasCutOutOfIt) {
  for (const Arch& arch : kArches) {
    EXPECT_EQ(Admin().Of(arch, "bpf"), "allow") << arch.name;
    EXPECT_EQ(Admin().Of(arch, "perf_event_open"), "allow") << arch.name;
  }
}

TEST(SeccompProfile, DeniesSocketsOfTwoFamilies) {
  for (const Arch& arch : kArches) {
    const int direct = arch.scmp == SCMP_ARCH_X86 ? 359 : Number(arch, "socket");
    ASSERT_GE(direct, 0);
    for (uint64_t family = 0; family < 64; ++family) {
      const bool denied = family == AF_ALG || family == AF_VSOCK;
      EXPECT_EQ(Default().OfNumber(arch, direct, {family, SOCK_SEQPACKET, 0}),
                denied ? "EPERM" : "allow")
          << arch.name << " family " << family;
      // The kernel takes an int: what is in the upper half must not hide the family.
      EXPECT_EQ(Default().OfNumber(arch, direct, {family | uint64_t{1} << 32, SOCK_SEQPACKET, 0}),
                denied ? "EPERM" : "allow")
          << arch.name << " family " << family << " with upper bits";
    }
    EXPECT_EQ(Default().OfNumber(arch, direct, {64}), "ENOSYS") << "no such family";
    EXPECT_EQ(Default().OfNumber(arch, direct, {0xffffffff}), "ENOSYS") << "no such family";
  }
}

// socketcall(2) takes a pointer to socket's arguments: no filter can see the family behind it.
TEST(SeccompProfile, DeniesSocketcallForEachOfItsCalls) {
  for (uint64_t call = 0; call <= 21; ++call) {
    EXPECT_EQ(Default().Of(kArches[1], "socketcall", {call}), "EPERM") << call;
    EXPECT_EQ(Admin().Of(kArches[1], "socketcall", {call}), "EPERM") << call;
  }
}

constexpr uint64_t kNamespaceFlags[] = {CLONE_NEWNS,   CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC,
                                        CLONE_NEWUSER, CLONE_NEWPID,    CLONE_NEWNET};

TEST(SeccompProfile, CloneMakesNamespacesOnlyWithSysAdmin) {
  constexpr uint64_t kThread = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD |
                               CLONE_SYSVSEM | CLONE_SETTLS | CLONE_PARENT_SETTID |
                               CLONE_CHILD_CLEARTID;
  for (const Arch& arch : kArches) {
    for (const uint64_t plain :
         {uint64_t{17}, uint64_t{CLONE_VFORK | CLONE_VM | 17}, uint64_t{kThread}}) {
      EXPECT_EQ(Default().Of(arch, "clone", {plain}), "allow") << arch.name << std::hex << plain;
      EXPECT_EQ(Admin().Of(arch, "clone", {plain}), "allow") << arch.name << std::hex << plain;
    }
    for (const uint64_t flag : kNamespaceFlags) {
      for (const uint64_t others :
           {uint64_t{17}, uint64_t{CLONE_VM | 17}, uint64_t{CLONE_NEWUSER | 17}}) {
        EXPECT_EQ(Default().Of(arch, "clone", {flag | others}), "EPERM")
            << arch.name << std::hex << (flag | others);
        EXPECT_EQ(Admin().Of(arch, "clone", {flag | others}), "allow")
            << arch.name << std::hex << (flag | others);
      }
    }
  }
}

// So that a libc falls back to clone, whose flags can be seen.
TEST(SeccompProfile, Clone3DoesNotExistWithoutSysAdmin) {
  for (const Arch& arch : kArches) {
    EXPECT_EQ(Default().Of(arch, "clone3"), "ENOSYS") << arch.name;
    EXPECT_EQ(Admin().Of(arch, "clone3"), "allow") << arch.name;
  }
}

TEST(SeccompProfile, AllowsTheUsualPersonalitiesOnly) {
  for (const Arch& arch : kArches) {
    for (const uint64_t persona : {0x0u, 0x8u, 0x20000u, 0x20008u, 0xffffffffu}) {
      EXPECT_EQ(Default().Of(arch, "personality", {persona}), "allow")
          << arch.name << std::hex << persona;
    }
    for (const uint64_t persona : {0x0400000u, 0x40000u, 0x1u}) {
      EXPECT_NE(Default().Of(arch, "personality", {persona}), "allow")
          << arch.name << std::hex << persona;
    }
  }
}

// All numbers, so that no call slips in that no table names.
TEST(SeccompProfile, AnswersEnosysToEveryCallThatNoTableNames) {
  const std::set<std::string> by_arguments = {"socket", "clone", "personality", "arch_prctl",
                                              "modify_ldt"};
  for (const Arch& arch : kArches) {
    std::map<int, std::string> known;
    const auto note = [&](const char* name) {
      if (const int number = Number(arch, name); number >= 0) known[number] = name;
    };
    for (const char* name : kAllowedSyscalls) note(name);
    for (const char* name : kDeniedSyscalls) note(name);
    for (const GuardedSyscall& guarded : kGuardedSyscalls) note(guarded.name);
    for (const std::string& name : by_arguments) note(name.c_str());
    if (arch.scmp == SCMP_ARCH_X86) {
      // libseccomp names these by socketcall's and ipc's numbers; they have direct ones too (337,
      // 345, from 359 and from 393).
      for (int number = 359; number <= 373; ++number) known[number] = "socket and its kin";
      for (int number = 393; number <= 402; ++number) known[number] = "System V IPC";
      for (const int number : {337, 345}) known[number] = "recvmmsg, sendmmsg";
    }
    const int base = arch.scmp == SCMP_ARCH_X32 ? 0x40000000 : 0;
    for (int number = base; number < base + 1024; ++number) {
      if (known.count(number) != 0) continue;
      EXPECT_EQ(Default().OfNumber(arch, number), "ENOSYS") << arch.name << " " << number - base;
    }
  }
}

TEST(SeccompProfile, AnswersEnosysToOtherArchitecturesAndOddNumbers) {
  const Arch arm = {"aarch64", AUDIT_ARCH_AARCH64, 0};
  for (int number = 0; number < 512; ++number)
    EXPECT_EQ(Default().OfNumber(arm, number), "ENOSYS") << number;
  for (const Arch& arch : kArches) {
    for (const int number :
         {-1, -101, -10036, 0x7fffffff, static_cast<int>(0x80000000), 0x3fffffff}) {
      EXPECT_EQ(Default().OfNumber(arch, number), "ENOSYS") << arch.name << " " << number;
    }
  }
}

TEST(SeccompTables, AreSortedAndNameACallOnce) {
  EXPECT_TRUE(std::is_sorted(std::begin(kAllowedSyscalls), std::end(kAllowedSyscalls),
                             [](const char* a, const char* b) { return std::string(a) < b; }));
  std::set<std::string> names;
  for (const char* name : kAllowedSyscalls) EXPECT_TRUE(names.insert(name).second) << name;
  for (const char* name : kDeniedSyscalls) EXPECT_TRUE(names.insert(name).second) << name;
  for (const GuardedSyscall& guarded : kGuardedSyscalls)
    EXPECT_TRUE(names.insert(guarded.name).second) << guarded.name;
}

TEST(SeccompTables, HoldNoMisspeltName) {
  const auto known = [](const char* name) {
    return seccomp_syscall_resolve_name(name) != __NR_SCMP_ERROR;
  };
  for (const char* name : kAllowedSyscalls) EXPECT_TRUE(known(name)) << name;
  for (const char* name : kDeniedSyscalls) EXPECT_TRUE(known(name)) << name;
  for (const GuardedSyscall& guarded : kGuardedSyscalls)
    EXPECT_TRUE(known(guarded.name)) << guarded.name;
}

TEST(SeccompCache, CompilesOnceForEachSetOfCapabilities) {
  SeccompCache cache;
  const absl::StatusOr<std::string> first = cache.Default(0), again = cache.Default(0),
                                    other = cache.Default(~0ull);
  ASSERT_TRUE(first.ok() && again.ok() && other.ok());
  EXPECT_EQ(*first, *again);
  EXPECT_NE(*first, *other);
  EXPECT_EQ(*other, *CompileDefaultSeccompProfile(~0ull));
}

}  // namespace
}  // namespace berth

#endif
