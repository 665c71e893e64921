#include "src/stream/allowed_syscalls.h"

#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <termios.h>

#include <array>
#include <cerrno>
#include <memory>

#include "src/base/status_macros.h"

namespace berth {
namespace {

// By name, so that calls that this architecture or this libseccomp does not know are skipped.
constexpr std::array kAllowed = {
    // Bytes between descriptors that are there.
    "read",
    "write",
    "readv",
    "writev",
    "recvfrom",
    "recvmsg",
    "sendto",
    "sendmsg",
    "shutdown",
    "close",
    "getsockopt",
    "setsockopt",
    "getsockname",
    "getpeername",
    "fcntl",
    "fstat",
    "newfstatat",
    // The event loop.
    "epoll_wait",
    "epoll_pwait",
    "epoll_pwait2",
    "epoll_ctl",
    "poll",
    "ppoll",
    "timerfd_settime",
    "timerfd_gettime",
    "clock_gettime",
    "gettimeofday",
    "time",
    // The C library: memory, locks, random numbers (TLS), the end.
    "munmap",
    "mremap",
    "madvise",
    "brk",
    "futex",
    "getrandom",
    "getpid",
    "gettid",
    "tgkill",
    "rt_sigreturn",
    "rt_sigprocmask",
    "rt_sigaction",
    "sigaltstack",
    "restart_syscall",
    "sched_yield",
    "rseq",
    "set_robust_list",
    "exit",
    "exit_group",
};

// Of ioctl(2): how much is there, non-blocking mode, the size of a terminal.
constexpr std::array<uint64_t, 4> kIoctls = {FIONREAD, FIONBIO, TIOCGWINSZ, TIOCSWINSZ};

struct Release {
  void operator()(void* filter) const { seccomp_release(filter); }
};

absl::Status Failed(absl::string_view what, int code) {
  return ErrnoStatus("seccomp", what, -code);
}

// Memory that can be executed comes into being nowhere.
absl::Status AllowMemory(scmp_filter_ctx filter) {
  struct Call {
    int number;
    const char* name;
  };
  for (const Call& call : {Call{SCMP_SYS(mmap), "mmap"}, Call{SCMP_SYS(mprotect), "mprotect"}}) {
    const int code = seccomp_rule_add(filter, SCMP_ACT_ALLOW, call.number, 1,
                                      SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
    if (code != 0) return Failed(call.name, code);
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status AllowSyscallsOfSessions() {
  const std::unique_ptr<void, Release> filter(seccomp_init(SCMP_ACT_ERRNO(EPERM)));
  if (filter == nullptr) return absl::ResourceExhaustedError("seccomp_init: out of memory");
  // Any other calling convention (32 bit, x32) is refused whole.
  seccomp_attr_set(filter.get(), SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
  for (const char* name : kAllowed) {
    const int number = seccomp_syscall_resolve_name(name);
    if (number < 0) continue;
    const int code = seccomp_rule_add(filter.get(), SCMP_ACT_ALLOW, number, 0);
    if (code != 0) return Failed(name, code);
  }
  for (const uint64_t request : kIoctls) {
    const int code = seccomp_rule_add(filter.get(), SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1,
                                      SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffff, request));
    if (code != 0) return Failed("ioctl", code);
  }
  RETURN_IF_ERROR(AllowMemory(filter.get()));
  if (const int code = seccomp_load(filter.get()); code != 0) return Failed("load", code);
  return absl::OkStatus();
}

}  // namespace berth
