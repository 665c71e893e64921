#include "src/kernel/vfork.h"

#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "src/base/status_macros.h"

namespace berth {
namespace {

constexpr size_t kStackBytes = 64 << 10;

// clone3(2) with a new stack: the child calls function(argument) and exits with its result. The C
// library has no public wrapper for it, and a child that shares our memory must not run on our
// stack.
long Clone3OnStack(clone_args* args, int (*function)(void*), void* argument) {
#if defined(__x86_64__)
  long result = SYS_clone3;
  register auto r12 asm("r12") = function;
  register void* r13 asm("r13") = argument;
  asm volatile(
      "syscall\n\t"
      "test %%rax, %%rax\n\t"
      "jnz 1f\n\t"
      "xor %%ebp, %%ebp\n\t"
      "mov %%r13, %%rdi\n\t"
      "call *%%r12\n\t"
      "mov %%eax, %%edi\n\t"
      "mov $60, %%eax\n\t"  // exit
      "syscall\n\t"
      "1:"
      : "+a"(result)
      : "D"(args), "S"(sizeof(*args)), "r"(r12), "r"(r13)
      : "rcx", "r11", "memory");
  return result;
#elif defined(__aarch64__)
  register long x8 asm("x8") = SYS_clone3;
  register clone_args* x0 asm("x0") = args;
  register size_t x1 asm("x1") = sizeof(*args);
  register auto x9 asm("x19") = function;
  register void* x10 asm("x20") = argument;
  asm volatile(
      "svc #0\n\t"
      "cbnz x0, 1f\n\t"
      "mov x29, #0\n\t"
      "mov x0, x20\n\t"
      "blr x19\n\t"
      "mov x8, #93\n\t"  // exit
      "svc #0\n\t"
      "1:"
      : "+r"(x0)
      : "r"(x8), "r"(x1), "r"(x9), "r"(x10)
      : "memory");
  return reinterpret_cast<long>(x0);
#else
#error "berth supports x86-64 and arm64"
#endif
}

class Stack {
 public:
  Stack()
      : base_(mmap(nullptr, kStackBytes, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0)) {}
  Stack(const Stack&) = delete;
  Stack& operator=(const Stack&) = delete;
  ~Stack() {
    if (valid()) munmap(base_, kStackBytes);
  }
  bool valid() const { return base_ != MAP_FAILED; }
  uint64_t base() const { return reinterpret_cast<uint64_t>(base_); }

 private:
  void* base_;
};

}  // namespace

absl::StatusOr<SpawnedProcess> Vfork(absl::string_view name, const VforkRequest& request) {
  const Stack stack;
  if (!stack.valid()) return ErrnoStatus("mmap stack for", name);
  int pidfd = -1;
  clone_args args = {};
  args.flags = CLONE_VM | CLONE_VFORK | CLONE_FILES | CLONE_PIDFD | request.namespaces;
  args.pidfd = reinterpret_cast<uint64_t>(&pidfd);
  args.exit_signal = SIGCHLD;
  args.stack = stack.base();
  args.stack_size = kStackBytes;
  if (request.cgroup_dir >= 0) {
    args.flags |= CLONE_INTO_CGROUP;
    args.cgroup = static_cast<uint64_t>(request.cgroup_dir);
  }
  // No handler of ours may run in the child while it still shares our memory.
  sigset_t all, old;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &old);
  const long pid = Clone3OnStack(&args, request.function, request.argument);
  pthread_sigmask(SIG_SETMASK, &old, nullptr);
  if (pid < 0) return ErrnoStatus("clone3", name, static_cast<int>(-pid));
  return SpawnedProcess{.pid = static_cast<pid_t>(pid), .pidfd = UniqueFd(pidfd)};
}

}  // namespace berth
