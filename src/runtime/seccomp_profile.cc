#include "src/runtime/seccomp_profile.h"

#include <linux/sched.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "absl/strings/str_cat.h"
#include "src/base/status_macros.h"
#include "src/base/unique_fd.h"
#include "src/runtime/seccomp_tables.h"

namespace berth {
namespace {

constexpr std::array<uint64_t, 7> kNamespaceFlags = {CLONE_NEWNS,    CLONE_NEWUTS, CLONE_NEWIPC,
                                                     CLONE_NEWUSER,  CLONE_NEWPID, CLONE_NEWNET,
                                                     CLONE_NEWCGROUP};
constexpr std::array<uint64_t, 5> kPersonalities = {0x0, 0x8, 0x20000, 0x20008, 0xffffffff};

struct FilterDeleter {
  void operator()(void* filter) const { seccomp_release(filter); }
};
using Filter = std::unique_ptr<void, FilterDeleter>;

absl::Status Failed(absl::string_view what, int error) {
  return ErrnoStatus("compile seccomp profile", what, error < 0 ? -error : error);
}

// A name that this libseccomp does not know, or that an architecture does not have, is no part of
// the filter.
absl::Status AddRule(scmp_filter_ctx filter, uint32_t action, const char* name,
                     std::initializer_list<scmp_arg_cmp> arguments = {}) {
  const int number = seccomp_syscall_resolve_name(name);
  if (number == __NR_SCMP_ERROR) return absl::OkStatus();
  const int error =
      seccomp_rule_add_array(filter, action, number, arguments.size(), arguments.begin());
  if (error != 0 && error != -EDOM && error != -EACCES) return Failed(name, error);
  return absl::OkStatus();
}

absl::Status AddArchitectures(scmp_filter_ctx filter) {
#if defined(__x86_64__)
  constexpr std::array kOthers = {SCMP_ARCH_X86, SCMP_ARCH_X32};
#elif defined(__aarch64__)
  constexpr std::array kOthers = {SCMP_ARCH_ARM};
#endif
  for (const uint32_t other : kOthers) {
    if (const int error = seccomp_arch_add(filter, other); error != 0 && error != -EEXIST) {
      return Failed("architecture", error);
    }
  }
  return absl::OkStatus();
}

struct FamilyRange {
  uint64_t mask, first;  // families f with f & mask == first
};

// All socket families but AF_ALG (38) and AF_VSOCK (40). The kernel takes an int: only the low half
// of the register is looked at, since a comparison of all of it would let 2^32 + AF_ALG pass.
constexpr FamilyRange kFamilies[] = {{0xffffffe0, 0},  {0xfffffffc, 32}, {0xfffffffe, 36},
                                     {0xffffffff, 39}, {0xffffffff, 41}, {0xfffffffe, 42},
                                     {0xfffffffc, 44}, {0xfffffff0, 48}};

absl::Status AddSocketRules(scmp_filter_ctx filter) {
  static_assert(AF_ALG == 38 && AF_VSOCK == 40 && AF_MAX <= 64);
  for (const FamilyRange& range : kFamilies) {
    RETURN_IF_ERROR(AddRule(filter, SCMP_ACT_ALLOW, "socket",
                            {SCMP_A0(SCMP_CMP_MASKED_EQ, range.mask, range.first)}));
  }
  for (const uint64_t family : {AF_ALG, AF_VSOCK}) {
    RETURN_IF_ERROR(AddRule(filter, SCMP_ACT_ERRNO(EPERM), "socket",
                            {SCMP_A0(SCMP_CMP_MASKED_EQ, 0xffffffff, family)}));
  }
  return absl::OkStatus();
}

// clone3's flags are behind a pointer that a filter cannot read: without CAP_SYS_ADMIN it does not
// exist, and libc falls back to clone, whose flags can be checked.
absl::Status AddCloneRules(scmp_filter_ctx filter, bool admin) {
  if (admin) {
    RETURN_IF_ERROR(AddRule(filter, SCMP_ACT_ALLOW, "clone"));
    return AddRule(filter, SCMP_ACT_ALLOW, "clone3");
  }
  uint64_t all = 0;
  for (const uint64_t flag : kNamespaceFlags) {
    all |= flag;
    RETURN_IF_ERROR(
        AddRule(filter, SCMP_ACT_ERRNO(EPERM), "clone", {SCMP_A0(SCMP_CMP_MASKED_EQ, flag, flag)}));
  }
  RETURN_IF_ERROR(AddRule(filter, SCMP_ACT_ALLOW, "clone", {SCMP_A0(SCMP_CMP_MASKED_EQ, all, 0)}));
  return AddRule(filter, SCMP_ACT_ERRNO(ENOSYS), "clone3");
}

absl::StatusOr<std::string> Export(scmp_filter_ctx filter) {
  const UniqueFd file(memfd_create("seccomp", MFD_CLOEXEC));
  if (!file.valid()) return ErrnoStatus("memfd_create", "seccomp");
  if (const int error = seccomp_export_bpf(filter, file.get()); error != 0)
    return Failed("export", error);
  const off_t size = lseek(file.get(), 0, SEEK_END);
  std::string program(static_cast<size_t>(size), '\0');
  if (pread(file.get(), program.data(), program.size(), 0) != size)
    return ErrnoStatus("read", "seccomp program");
  return program;
}

}  // namespace

absl::StatusOr<std::string> CompileDefaultSeccompProfile(uint64_t capabilities) {
  const auto has = [&](int capability) { return (capabilities >> capability & 1) != 0; };
  const Filter owner(seccomp_init(SCMP_ACT_ERRNO(ENOSYS)));
  scmp_filter_ctx filter = owner.get();
  if (filter == nullptr)
    return absl::ResourceExhaustedError("compile seccomp profile: out of memory");
  RETURN_IF_ERROR(AddArchitectures(filter));
  seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE,
                   2);  // a tree: it loads three times faster than a list
  seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(ENOSYS));
  for (const char* name : kAllowedSyscalls) RETURN_IF_ERROR(AddRule(filter, SCMP_ACT_ALLOW, name));
  for (const char* name : kDeniedSyscalls)
    RETURN_IF_ERROR(AddRule(filter, SCMP_ACT_ERRNO(EPERM), name));
  for (const GuardedSyscall& guarded : kGuardedSyscalls) {
    const bool allowed =
        has(guarded.capability) || (guarded.capability >= CAP_PERFMON && has(CAP_SYS_ADMIN));
    RETURN_IF_ERROR(
        AddRule(filter, allowed ? SCMP_ACT_ALLOW : SCMP_ACT_ERRNO(EPERM), guarded.name));
  }
  for (const uint64_t persona : kPersonalities) {
    RETURN_IF_ERROR(
        AddRule(filter, SCMP_ACT_ALLOW, "personality", {SCMP_A0(SCMP_CMP_EQ, persona)}));
  }
  for (const char* name : {"arch_prctl", "modify_ldt", "arm_fadvise64_64", "arm_sync_file_range",
                           "cacheflush", "set_tls"}) {
    RETURN_IF_ERROR(AddRule(filter, SCMP_ACT_ALLOW, name));
  }
  RETURN_IF_ERROR(AddSocketRules(filter));
  RETURN_IF_ERROR(AddCloneRules(filter, has(CAP_SYS_ADMIN)));
  return Export(filter);
}

absl::StatusOr<std::string> SeccompCache::Default(uint64_t capabilities) {
  absl::MutexLock lock(&mu_);
  const auto found = programs_.find(capabilities);
  if (found != programs_.end()) return found->second;
  ASSIGN_OR_RETURN(std::string program, CompileDefaultSeccompProfile(capabilities));
  return programs_.emplace(capabilities, std::move(program)).first->second;
}

}  // namespace berth
