#include "src/kernel/process.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include "src/base/status_macros.h"
#include "src/kernel/file.h"
#include "src/kernel/spawn_child.h"

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

std::vector<char*> Pointers(const std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  pointers.reserve(strings.size() + 1);
  for (const std::string& s : strings) pointers.push_back(const_cast<char*>(s.c_str()));
  pointers.push_back(nullptr);
  return pointers;
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

unsigned LastFd(const SpawnRequest& request, int null) {
  int last = std::max(null, request.executable_fd);
  for (const std::vector<int>* fds : {&request.fds, &request.cgroup_tasks}) {
    for (const int fd : *fds) last = std::max(last, fd);
  }
  return static_cast<unsigned>(last);
}

}  // namespace

absl::StatusOr<SpawnedProcess> Spawn(const SpawnRequest& request) {
  const std::string name = request.path.empty() ? request.argv.at(0) : request.path;
  const std::vector<char*> argv = Pointers(request.argv), env = Pointers(request.env);
  std::vector<int> scratch(request.fds.size());
  ASSIGN_OR_RETURN(const UniqueFd null, OpenFile(AT_FDCWD, "/dev/null", O_RDWR));
  const Stack stack;
  if (!stack.valid()) return ErrnoStatus("mmap stack for", name);

  SpawnChild child = {
      .executable_fd = request.path.empty() ? request.executable_fd : -1,
      .path = request.path.c_str(),
      .argv = argv.data(),
      .env = env.data(),
      .fds = request.fds.data(),
      .scratch = scratch.data(),
      .fd_count = static_cast<int>(request.fds.size()),
      .last_fd = LastFd(request, null.get()),
      .cgroup_tasks = request.cgroup_tasks.data(),
      .cgroup_tasks_count = static_cast<int>(request.cgroup_tasks.size()),
      .null_fd = null.get(),
      .new_session = request.new_session,
      .default_oom_score = request.default_oom_score,
      .new_mount_namespace = request.new_mount_namespace,
      .cwd = request.cwd.empty() ? nullptr : request.cwd.c_str(),
  };
  int pidfd = -1;
  clone_args args = {};
  args.flags = CLONE_VM | CLONE_VFORK | CLONE_FILES | CLONE_PIDFD;
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
  const long pid = Clone3OnStack(&args, RunSpawnChild, &child);
  pthread_sigmask(SIG_SETMASK, &old, nullptr);
  if (pid < 0) return ErrnoStatus("clone3", name, static_cast<int>(-pid));

  SpawnedProcess process{.pid = static_cast<pid_t>(pid), .pidfd = UniqueFd(pidfd)};
  if (child.error != 0) {
    waitid(P_PIDFD, static_cast<id_t>(pidfd), nullptr, WEXITED);
    return ErrnoStatus(child.failed, name, child.error);
  }
  return process;
}

absl::StatusOr<UniqueFd> SealedCopy(const std::string& path) {
  ASSIGN_OR_RETURN(const UniqueFd source, OpenFile(AT_FDCWD, path, O_RDONLY));
  struct stat info;
  if (fstat(source.get(), &info) != 0) return ErrnoStatus("stat", path);
  UniqueFd copy(memfd_create("berth", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!copy.valid()) return ErrnoStatus("memfd_create", path);
  for (off_t done = 0; done < info.st_size;) {
    const ssize_t n =
        sendfile(copy.get(), source.get(), nullptr, static_cast<size_t>(info.st_size - done));
    if (n <= 0) return ErrnoStatus("copy", path);
    done += n;
  }
  if (fchmod(copy.get(), 0500) != 0) return ErrnoStatus("chmod", path);
  if (fcntl(copy.get(), F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) !=
      0) {
    return ErrnoStatus("seal", path);
  }
  return copy;
}

}  // namespace berth
