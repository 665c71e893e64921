// The system calls of berth-copy once it has its root.
#include <seccomp.h>

#include <array>
#include <cerrno>
#include <memory>

#include "src/base/status_macros.h"
#include "src/copy/container_root.h"

namespace berth {
namespace {

// By name, so that calls that this libseccomp does not know yet are skipped.
constexpr std::array kAllowed = {
    // Files, by descriptor.
    "openat", "openat2", "close", "read", "write", "lseek", "fstat", "newfstatat", "statx",
    "fstatfs", "getdents64", "readlinkat", "mkdirat", "mknodat", "symlinkat", "linkat", "unlinkat",
    "fchown", "fchownat", "fchmod", "fchmodat", "fchmodat2", "utimensat", "ftruncate", "fgetxattr",
    "fsetxattr", "fcntl",
    // The channel.
    "sendto", "recvfrom",
    // Memory, time, the end.
    "brk", "mmap", "munmap", "mremap", "mprotect", "madvise", "futex", "getrandom", "clock_gettime",
    "gettimeofday", "rt_sigreturn", "rt_sigprocmask", "rt_sigaction", "getpid", "gettid", "tgkill",
    "exit", "exit_group", "restart_syscall"};

struct Release {
  void operator()(void* filter) const { seccomp_release(filter); }
};

}  // namespace

absl::Status LoadCopySyscallFilter() {
  const std::unique_ptr<void, Release> filter(seccomp_init(SCMP_ACT_ERRNO(EPERM)));
  if (filter == nullptr) return absl::ResourceExhaustedError("seccomp_init: out of memory");
  seccomp_attr_set(filter.get(), SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
  for (const char* name : kAllowed) {
    const int number = seccomp_syscall_resolve_name(name);
    if (number == __NR_SCMP_ERROR) continue;
    if (const int code = seccomp_rule_add(filter.get(), SCMP_ACT_ALLOW, number, 0); code != 0)
      return ErrnoStatus("seccomp", name, -code);
  }
  if (const int code = seccomp_load(filter.get()); code != 0)
    return ErrnoStatus("seccomp", "load", -code);
  return absl::OkStatus();
}

}  // namespace berth
