// The default profile's filter: what it answers to every call of each architecture.
#include "src/runtime/seccomp_profile.h"

#include <gtest/gtest.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/sched.h>
#include <seccomp.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <set>
#include <string>

#include "src/runtime/capabilities.h"
#include "src/runtime/seccomp_tables.h"
#include "src/runtime/testing/filter_interpreter.h"

#if defined(__x86_64__)

namespace berth {
namespace {

constexpr uint64_t Bit(int capability) { return uint64_t{1} << capability; }

Profile Of(uint64_t capabilities) { return Profile(CompileDefaultSeccompProfile(capabilities)); }

const Profile& Default() {
  static const Profile* profile = new Profile(Of(DefaultCapabilities()));
  return *profile;
}
const Profile& Admin() {
  static const Profile* profile = new Profile(Of(DefaultCapabilities() | Bit(CAP_SYS_ADMIN)));
  return *profile;
}

TEST(SeccompProfile, FitsTheKernelsLimitOfInstructions) {
  EXPECT_GT(Default().program().size(), 100u);
  EXPECT_LE(Default().program().size(), static_cast<size_t>(BPF_MAXINSNS));
  EXPECT_LE(Of(~uint64_t{0}).program().size(), static_cast<size_t>(BPF_MAXINSNS));
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
  const Profile mighty = Of(~uint64_t{0});
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
    const Profile with = Of(Bit(guarded.capability));
    const Profile others = Of(~(Bit(guarded.capability) | Bit(CAP_SYS_ADMIN)));
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

}  // namespace
}  // namespace berth

#endif
