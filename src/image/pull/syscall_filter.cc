#include "src/image/pull/syscall_filter.h"

#include <sched.h>
#include <seccomp.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <memory>

#include "src/base/status_macros.h"

namespace berth {
namespace {

// By name, so that calls that this libseccomp does not know yet are skipped.
constexpr std::array kRefused = {
    // Other programs and processes.
    "execve",
    "execveat",
    "fork",
    "vfork",
    "ptrace",
    "process_vm_readv",
    "process_vm_writev",
    "process_madvise",
    "kill",
    "tkill",
    "pidfd_open",
    "pidfd_getfd",
    "pidfd_send_signal",
    "kcmp",
    "setpriority",
    "sched_setaffinity",
    // The view of the system: what CAP_SYS_ADMIN would else allow.
    "mount",
    "umount2",
    "pivot_root",
    "chroot",
    "unshare",
    "setns",
    "fsopen",
    "fsconfig",
    "fsmount",
    "fspick",
    "open_tree",
    "move_mount",
    "mount_setattr",
    "open_by_handle_at",
    "name_to_handle_at",
    "quotactl",
    "quotactl_fd",
    "sethostname",
    "setdomainname",
    "swapon",
    "swapoff",
    "syslog",
    "acct",
    "fanotify_init",
    "fanotify_mark",
    "lookup_dcookie",
    "nfsservctl",
    // The kernel itself.
    "bpf",
    "perf_event_open",
    "init_module",
    "finit_module",
    "delete_module",
    "kexec_load",
    "kexec_file_load",
    "reboot",
    "iopl",
    "ioperm",
    "io_uring_setup",
    "io_uring_enter",
    "io_uring_register",
    "userfaultfd",
    "add_key",
    "request_key",
    "keyctl",
    "modify_ldt",
    "personality",
    "seccomp",
    "memfd_create",
    "memfd_secret",
    // Time.
    "settimeofday",
    "clock_settime",
    "clock_adjtime",
    "adjtimex",
    "stime",
    // Identity.
    "setuid",
    "setgid",
    "setreuid",
    "setregid",
    "setresuid",
    "setresgid",
    "setgroups",
    "setfsuid",
    "setfsgid",
    "capset",
    // Serving instead of asking.
    "listen",
    "accept",
    "accept4",
};

// Families of sockets that name resolution and HTTP use (netlink: getaddrinfo(3) asks which
// addresses there are).
constexpr std::array<uint64_t, 4> kFamilies = {AF_UNIX, AF_INET, AF_INET6, AF_NETLINK};

constexpr uint64_t kNamespaceFlags = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC |
                                     CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET;

struct Release {
  void operator()(void* filter) const { seccomp_release(filter); }
};

absl::Status Failed(absl::string_view what, int code) {
  return ErrnoStatus("seccomp", what, -code);
}

absl::Status RefuseOtherFamilies(scmp_filter_ctx filter) {
  // One rule each for the gaps between the allowed numbers, since rules of one call are
  // alternatives.
  uint64_t next = 0;
  for (const uint64_t family : kFamilies) {
    for (; next < family; ++next) {
      const int code = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EAFNOSUPPORT), SCMP_SYS(socket), 1,
                                        SCMP_A0(SCMP_CMP_EQ, next));
      if (code != 0) return Failed("socket", code);
    }
    next = family + 1;
  }
  const int code = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EAFNOSUPPORT), SCMP_SYS(socket), 1,
                                    SCMP_A0(SCMP_CMP_GE, next));
  return code == 0 ? absl::OkStatus() : Failed("socket", code);
}

absl::Status RefuseNamespaces(scmp_filter_ctx filter) {
  for (uint64_t flag = 1; flag <= kNamespaceFlags; flag <<= 1) {
    if ((flag & kNamespaceFlags) == 0) continue;
    const int code = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(clone), 1,
                                      SCMP_A0(SCMP_CMP_MASKED_EQ, flag, flag));
    if (code != 0) return Failed("clone", code);
  }
  // clone3's flags are in memory, out of the filter's sight: the C library falls back to clone.
  const int code = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
  return code == 0 ? absl::OkStatus() : Failed("clone3", code);
}

}  // namespace

absl::Status LoadSyscallFilter() {
  const std::unique_ptr<void, Release> filter(seccomp_init(SCMP_ACT_ALLOW));
  if (filter == nullptr) return absl::ResourceExhaustedError("seccomp_init: out of memory");
  // Any other calling convention (32 bit, x32) is refused whole.
  seccomp_attr_set(filter.get(), SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
  for (const char* name : kRefused) {
    const int number = seccomp_syscall_resolve_name(name);
    if (number == __NR_SCMP_ERROR) continue;
    const int code = seccomp_rule_add(filter.get(), SCMP_ACT_ERRNO(EPERM), number, 0);
    // A call of another architecture (stime) has a negative number here and no meaning.
    if (code != 0 && number >= 0) return Failed(name, code);
  }
  RETURN_IF_ERROR(RefuseOtherFamilies(filter.get()));
  RETURN_IF_ERROR(RefuseNamespaces(filter.get()));
  if (const int code = seccomp_load(filter.get()); code != 0) return Failed("load", code);
  return absl::OkStatus();
}

}  // namespace berth
