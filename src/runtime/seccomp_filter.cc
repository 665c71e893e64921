#include "src/runtime/seccomp_filter.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "src/base/status_macros.h"
#include "src/base/unique_fd.h"
#include "src/runtime/seccomp_compaction.h"

namespace berth {

bool SeccompRules::Notifies() const {
  return std::any_of(rules.begin(), rules.end(),
                     [](const SeccompRule& rule) { return rule.action == SCMP_ACT_NOTIFY; });
}

namespace {

struct FilterDeleter {
  void operator()(void* filter) const { seccomp_release(filter); }
};
using Filter = std::unique_ptr<void, FilterDeleter>;

absl::Status Failed(absl::string_view what, int error) {
  return ErrnoStatus("compile seccomp profile", what, error < 0 ? -error : error);
}

absl::Status AddRule(scmp_filter_ctx filter, uint32_t action, const std::string& name, int number,
                     const std::vector<scmp_arg_cmp>& arguments) {
  const int error = seccomp_rule_add_array(
      filter, action, number, static_cast<unsigned>(arguments.size()), arguments.data());
  // EDOM: the architecture does not have the call. EACCES: the action is the default one.
  if (error == 0 || error == -EDOM || error == -EACCES) return absl::OkStatus();
  if (error == -EEXIST) {
    return absl::InvalidArgumentError(
        absl::StrCat("compile seccomp profile ", name, ": two actions for the same arguments"));
  }
  return absl::InvalidArgumentError(Failed(name, error).message());
}

// libseccomp takes one condition for each argument: rules with two on the same one become a rule
// for each condition, any of which is enough, as runc and Docker have it.
std::vector<std::vector<scmp_arg_cmp>> Alternatives(const std::vector<SeccompArgument>& arguments) {
  std::vector<scmp_arg_cmp> all;
  unsigned seen = 0;
  bool twice = false;
  for (const SeccompArgument& argument : arguments) {
    twice = twice || (seen >> argument.index & 1) != 0;
    seen |= 1u << argument.index;
    all.push_back({.arg = argument.index,
                   .op = static_cast<scmp_compare>(argument.op),
                   .datum_a = argument.value,
                   .datum_b = argument.value_two});
  }
  if (!twice) return {all};
  std::vector<std::vector<scmp_arg_cmp>> each;
  for (const scmp_arg_cmp& one : all) each.push_back({one});
  return each;
}

absl::Status AddRules(scmp_filter_ctx filter, const SeccompRules& profile) {
  for (const SeccompRule& rule : profile.rules) {
    for (const std::string& name : rule.names) {
      const int number = seccomp_syscall_resolve_name(name.c_str());
      if (number == __NR_SCMP_ERROR) continue;
      for (const std::vector<scmp_arg_cmp>& arguments : Alternatives(rule.arguments))
        RETURN_IF_ERROR(AddRule(filter, rule.action, name, number, arguments));
    }
  }
  return absl::OkStatus();
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

struct NumberSpace {
  uint32_t scmp, audit;
  int first, last;  // of the numbers that belong to it
};
#if defined(__x86_64__)
constexpr NumberSpace kNumberSpaces[] = {
    {SCMP_ARCH_X86_64, AUDIT_ARCH_X86_64, 0, 0x3fffffff},
    {SCMP_ARCH_X86, AUDIT_ARCH_I386, 0, 0x3fffffff},
    {SCMP_ARCH_X32, AUDIT_ARCH_X86_64, 0x40000000, 0x7fffffff},
};
#elif defined(__aarch64__)
constexpr NumberSpace kNumberSpaces[] = {
    {SCMP_ARCH_AARCH64, AUDIT_ARCH_AARCH64, 0, 0x3fffffff},
    {SCMP_ARCH_ARM, AUDIT_ARCH_ARM, 0, 0xeffff},  // above are ARM's private calls
};
#endif

// The number of a call, -1 without one. libseccomp gives the calls that i386 multiplexes
// (socketcall, ipc) numbers below zero; the last direct one of these is 402, msgctl.
int HighestNumber(uint32_t architecture, const std::string& name) {
  constexpr int kLastMultiplexed = 402;
  const int number = seccomp_syscall_resolve_name_arch(architecture, name.c_str());
  if (number >= 0 || number == __NR_SCMP_ERROR) return number;
  return architecture == SCMP_ARCH_X86 ? kLastMultiplexed : -1;
}

// Instructions that answer ENOSYS to what is above the highest number that the profile knows on an
// architecture, so that a libc that tries a newer call falls back; they run on into the filter
// otherwise.
std::string EnosysPrelude(const SeccompRules& profile) {
  std::vector<sock_filter> code;
  for (const NumberSpace& space : kNumberSpaces) {
    if (space.scmp != seccomp_arch_native() &&
        std::find(profile.architectures.begin(), profile.architectures.end(), space.scmp) ==
            profile.architectures.end()) {
      continue;
    }
    int highest = -1;
    for (const std::string& name : profile.known_names)
      highest = std::max(highest, HighestNumber(space.scmp, name));
    if (highest < 0) continue;
    const auto last = static_cast<uint32_t>(space.last), above = static_cast<uint32_t>(highest);
    code.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, arch)));
    code.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, space.audit, 0, 4));
    code.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)));
    code.push_back(BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, last, 2, 0));
    code.push_back(BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, above, 0, 1));
    code.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS));
  }
  return {reinterpret_cast<const char*>(code.data()), code.size() * sizeof(sock_filter)};
}

std::string Compacted(const std::string& filter) {
  std::vector<sock_filter> program(filter.size() / sizeof(sock_filter));
  std::memcpy(program.data(), filter.data(), program.size() * sizeof(sock_filter));
  program = CompactFilter(std::move(program));
  return {reinterpret_cast<const char*>(program.data()), program.size() * sizeof(sock_filter)};
}

}  // namespace

absl::StatusOr<SeccompProgram> CompileSeccompRules(const SeccompRules& profile) {
  const Filter owner(seccomp_init(profile.default_action));
  scmp_filter_ctx filter = owner.get();
  if (filter == nullptr)
    return absl::ResourceExhaustedError("compile seccomp profile: out of memory");
  for (const uint32_t architecture : profile.architectures) {
    if (const int error = seccomp_arch_add(filter, architecture); error != 0 && error != -EEXIST)
      return Failed("architecture", error);
  }
  // A tree: it loads three times faster than a list.
  seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
  if (const int error =
          seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, profile.bad_architecture_action);
      error != 0) {
    return Failed("action for other architectures", error);
  }
  RETURN_IF_ERROR(AddRules(filter, profile));
  SeccompProgram program{.flags = profile.flags};
  ASSIGN_OR_RETURN(program.filter, Export(filter));
  if (profile.enosys_above_known) program.filter.insert(0, EnosysPrelude(profile));
  program.filter = Compacted(program.filter);
  if (const size_t length = program.filter.size() / sizeof(sock_filter); length > BPF_MAXINSNS) {
    return absl::InvalidArgumentError(absl::StrCat(
        "compile seccomp profile: ", length, " instructions; the kernel takes ", BPF_MAXINSNS));
  }
  if (profile.Notifies()) {
    program.listener_path = profile.listener_path;
    program.listener_metadata = profile.listener_metadata;
  } else {
    program.flags &= ~uint32_t{SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV};  // EINVAL without listener
  }
  return program;
}

}  // namespace berth
