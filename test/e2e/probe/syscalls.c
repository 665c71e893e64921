#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <netinet/in.h>
#include <unistd.h>

#include "json.h"
#include "probe.h"

// The errno of a call, made in a child so that its success changes nothing here.
static void attempt(const char* name, long (*call)(void)) {
  pid_t child = fork();
  int status = 0;
  if (child == 0) {
    errno = 0;
    _exit(call() >= 0 ? 0 : errno);
  }
  waitpid(child, &status, 0);
  json_text(name, WIFEXITED(status) ? errno_name(WEXITSTATUS(status)) : "killed");
}

enum { kAfAlg = 38, kAfVsock = 40, kX32 = 0x40000000, kI386Socketcall = 102, kI386Socket = 359 };

// A system call by the i386 gate: its numbers, its arguments, -errno as the result.
static long i386(long number, long a, long b, long c) {
#ifdef __x86_64__
  long result;
  __asm__ volatile("int $0x80"
                   : "=a"(result)
                   : "a"(number), "b"(a), "c"(b), "d"(c)
                   : "memory", "r8", "r9", "r10", "r11");
  if (result >= 0) return result;
  errno = (int)-result;
  return -1;
#else
  (void)number, (void)a, (void)b, (void)c;
  errno = ENOSYS;
  return -1;
#endif
}

static long call_af_alg(void) { return socket(kAfAlg, SOCK_SEQPACKET, 0); }
static long call_af_vsock(void) { return socket(kAfVsock, SOCK_STREAM, 0); }
static long call_vsock_pair(void) {
  int pair[2];
  return socketpair(kAfVsock, SOCK_STREAM, 0, pair);
}
static long call_io_uring(void) { return syscall(SYS_io_uring_setup, 1, NULL); }
static long call_io_uring_enter(void) { return syscall(SYS_io_uring_enter, -1, 0, 0, 0, NULL, 0); }
static long call_bpf(void) { return syscall(SYS_bpf, 9999, NULL, 0); }
static long call_userfaultfd(void) { return syscall(SYS_userfaultfd, 0); }
static long call_keyctl(void) { return syscall(SYS_keyctl, 0, -3, 0); }
static long call_add_key(void) { return syscall(SYS_add_key, "user", "berth-probe", "x", 1, -3); }
static long call_request_key(void) { return syscall(SYS_request_key, "user", "x", NULL, 0); }
static long call_mount(void) { return mount(NULL, "/", NULL, MS_PRIVATE, NULL); }
static long call_umount(void) { return umount2("/nothing-is-mounted-here", 0); }
static long call_fsopen(void) { return syscall(430, "tmpfs", 0); }
static long call_open_tree(void) { return syscall(428, AT_FDCWD, "/", 1); }
static long call_unshare_user(void) { return unshare(CLONE_NEWUSER); }
static long call_unshare_mount(void) { return unshare(CLONE_NEWNS); }
static long call_clone_user(void) {
  pid_t child = (pid_t)syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, NULL, NULL, NULL, NULL);
  if (child > 0) waitpid(child, NULL, 0);  // else the container's first process would inherit it
  return child;
}
static long call_clone3(void) { return syscall(435, NULL, 0); }
static long call_setns(void) { return setns(-1, CLONE_NEWNS); }
static long call_perf(void) { return syscall(SYS_perf_event_open, NULL, 0, -1, -1, 0); }
static long call_handle(void) { return syscall(SYS_open_by_handle_at, AT_FDCWD, NULL, 0); }
static long call_kexec(void) { return syscall(SYS_kexec_load, 0, 0, NULL, 0xffff); }
static long call_module(void) { return syscall(SYS_init_module, NULL, 0, NULL); }
static long call_reboot(void) { return syscall(SYS_reboot, 0, 0, 0, NULL); }
static long call_swapon(void) { return syscall(SYS_swapon, NULL, 0); }
static long call_ptrace(void) { return ptrace(PTRACE_TRACEME, 0, NULL, NULL); }
static long call_sethostname(void) {
  char name[256];
  return gethostname(name, sizeof name) ? -1 : sethostname(name, strlen(name));
}
static long call_mknod(void) { return mknod("/dev/probe-node", S_IFCHR | 0600, makedev(1, 3)); }
static long call_chroot(void) { return chroot("/"); }
static long call_raw_socket(void) { return socket(AF_INET, SOCK_RAW, IPPROTO_ICMP); }
static long call_personality(void) { return syscall(SYS_personality, 0x0400000); }
static long call_getpid(void) { return syscall(SYS_getpid); }
static long call_x32_getpid(void) { return syscall(kX32 | SYS_getpid); }
static long call_x32_bpf(void) { return syscall(kX32 | SYS_bpf, 9999, NULL, 0); }
// ENOSYS where the gate does not lead to i386's numbers (User-mode Linux takes x86-64's).
static long call_i386_getpid(void) {
  enum { kI386Getpid = 20 };
  if (i386(kI386Getpid, 0, 0, 0) == getpid()) return 0;
  errno = ENOSYS;
  return -1;
}
static long call_i386_af_alg(void) { return i386(kI386Socket, kAfAlg, SOCK_SEQPACKET, 0); }
static long call_i386_af_vsock(void) { return i386(kI386Socket, kAfVsock, SOCK_STREAM, 0); }
static long call_i386_socketcall(void) { return i386(kI386Socketcall, 1, 0, 0); }
static long call_i386_bpf(void) { return i386(357, 9999, 0, 0); }

void syscalls(void) {
  static const struct {
    const char* name;
    long (*call)(void);
  } calls[] = {{"af_alg", call_af_alg},
               {"af_vsock", call_af_vsock},
               {"af_vsock_pair", call_vsock_pair},
               {"io_uring_setup", call_io_uring},
               {"io_uring_enter", call_io_uring_enter},
               {"bpf", call_bpf},
               {"userfaultfd", call_userfaultfd},
               {"keyctl", call_keyctl},
               {"add_key", call_add_key},
               {"request_key", call_request_key},
               {"mount", call_mount},
               {"umount", call_umount},
               {"fsopen", call_fsopen},
               {"open_tree", call_open_tree},
               {"unshare_user", call_unshare_user},
               {"unshare_mount", call_unshare_mount},
               {"clone_user", call_clone_user},
               {"clone3", call_clone3},
               {"setns", call_setns},
               {"perf_event_open", call_perf},
               {"open_by_handle_at", call_handle},
               {"kexec_load", call_kexec},
               {"init_module", call_module},
               {"reboot", call_reboot},
               {"swapon", call_swapon},
               {"ptrace", call_ptrace},
               {"sethostname", call_sethostname},
               {"mknod", call_mknod},
               {"chroot", call_chroot},
               {"raw_socket", call_raw_socket},
               {"personality", call_personality},
               {"getpid", call_getpid},
               {"x32_getpid", call_x32_getpid},
               {"x32_bpf", call_x32_bpf},
               {"i386_getpid", call_i386_getpid},
               {"i386_af_alg", call_i386_af_alg},
               {"i386_af_vsock", call_i386_af_vsock},
               {"i386_socketcall", call_i386_socketcall},
               {"i386_bpf", call_i386_bpf}};
  json_open("syscalls", '{');
  for (size_t i = 0; i < sizeof calls / sizeof calls[0]; ++i) attempt(calls[i].name, calls[i].call);
  json_close();
  unlink("/dev/probe-node");
}
