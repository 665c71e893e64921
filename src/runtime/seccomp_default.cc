#include "src/runtime/seccomp_default.h"

#include <linux/sched.h>
#include <seccomp.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <utility>

#include "src/runtime/seccomp_tables.h"

namespace berth {
namespace {

constexpr std::array<uint64_t, 7> kNamespaceFlags = {CLONE_NEWNS,    CLONE_NEWUTS, CLONE_NEWIPC,
                                                     CLONE_NEWUSER,  CLONE_NEWPID, CLONE_NEWNET,
                                                     CLONE_NEWCGROUP};
constexpr std::array<uint64_t, 5> kPersonalities = {0x0, 0x8, 0x20000, 0x20008, 0xffffffff};
// Calls of one architecture only, next to the tables.
constexpr const char* kOfArchitectures[] = {"arch_prctl",          "modify_ldt", "arm_fadvise64_64",
                                            "arm_sync_file_range", "cacheflush", "set_tls"};
constexpr uint32_t kDeny = SCMP_ACT_ERRNO(EPERM);

struct FamilyRange {
  uint64_t mask, first;  // families f with f & mask == first
};

// All socket families but AF_ALG (38) and AF_VSOCK (40). The kernel takes an int: only the low half
// of the register is looked at, since a comparison of all of it would let 2^32 + AF_ALG pass.
constexpr FamilyRange kFamilies[] = {{0xffffffe0, 0},  {0xfffffffc, 32}, {0xfffffffe, 36},
                                     {0xffffffff, 39}, {0xffffffff, 41}, {0xfffffffe, 42},
                                     {0xfffffffc, 44}, {0xfffffff0, 48}};

SeccompRule OnFirstArgument(const char* name, uint32_t action, SeccompArgument argument) {
  return {.names = {name}, .action = action, .arguments = {argument}};
}

SeccompArgument Masked(uint64_t mask, uint64_t value) {
  return {.index = 0, .op = SCMP_CMP_MASKED_EQ, .value = mask, .value_two = value};
}

template <typename Names>
SeccompRule All(const Names& names, uint32_t action) {
  return {.names = {std::begin(names), std::end(names)}, .action = action};
}

void AddSocketRules(std::vector<SeccompRule>* rules) {
  static_assert(AF_ALG == 38 && AF_VSOCK == 40 && AF_MAX <= 64);
  for (const FamilyRange& range : kFamilies)
    rules->push_back(OnFirstArgument("socket", SCMP_ACT_ALLOW, Masked(range.mask, range.first)));
  for (const uint64_t family : {AF_ALG, AF_VSOCK})
    rules->push_back(OnFirstArgument("socket", kDeny, Masked(0xffffffff, family)));
}

// clone3's flags are behind a pointer that a filter cannot read: without CAP_SYS_ADMIN it does not
// exist, and libc falls back to clone, whose flags can be checked.
void AddCloneRules(bool admin, std::vector<SeccompRule>* rules) {
  if (admin) {
    rules->push_back({.names = {"clone", "clone3"}, .action = SCMP_ACT_ALLOW});
    return;
  }
  uint64_t all = 0;
  for (const uint64_t flag : kNamespaceFlags) {
    all |= flag;
    rules->push_back(OnFirstArgument("clone", kDeny, Masked(flag, flag)));
  }
  rules->push_back(OnFirstArgument("clone", SCMP_ACT_ALLOW, Masked(all, 0)));
  rules->push_back({.names = {"clone3"}, .action = SCMP_ACT_ERRNO(ENOSYS)});
}

}  // namespace

SeccompRules DefaultSeccompRules(uint64_t capabilities) {
  const auto has = [&](int capability) { return (capabilities >> capability & 1) != 0; };
  SeccompRules profile;
  profile.default_action = SCMP_ACT_ERRNO(ENOSYS);
  profile.bad_architecture_action = SCMP_ACT_ERRNO(ENOSYS);
#if defined(__x86_64__)
  profile.architectures = {SCMP_ARCH_X86_64, SCMP_ARCH_X86, SCMP_ARCH_X32};
#elif defined(__aarch64__)
  profile.architectures = {SCMP_ARCH_AARCH64, SCMP_ARCH_ARM};
#endif
  SeccompRule allowed = All(kAllowedSyscalls, SCMP_ACT_ALLOW);
  SeccompRule denied = All(kDeniedSyscalls, kDeny);
  for (const GuardedSyscall& guarded : kGuardedSyscalls) {
    const bool open =
        has(guarded.capability) || (guarded.capability >= CAP_PERFMON && has(CAP_SYS_ADMIN));
    (open ? allowed : denied).names.push_back(guarded.name);
  }
  profile.rules = {std::move(allowed), std::move(denied), All(kOfArchitectures, SCMP_ACT_ALLOW)};
  for (const uint64_t persona : kPersonalities) {
    profile.rules.push_back(OnFirstArgument("personality", SCMP_ACT_ALLOW,
                                            {.index = 0, .op = SCMP_CMP_EQ, .value = persona}));
  }
  AddSocketRules(&profile.rules);
  AddCloneRules(has(CAP_SYS_ADMIN), &profile.rules);
  return profile;
}

}  // namespace berth
