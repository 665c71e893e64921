#include "src/runtime/monitor/zygote.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "src/base/failpoint.h"
#include "src/runtime/monitor/pod.h"
#include "src/runtime/monitor/process_steps_child.h"
#include "src/runtime/monitor/syscalls.h"

namespace berth::monitor {
namespace {

enum State : uint32_t { kIdle, kBusy };

constexpr uint64_t kPointerRoom = 1 << 10;

// vfork(2) with the arguments of clone3(2): the process goes on in `run` on this stack, below this
// frame, while the caller waits.
[[gnu::noinline]] pid_t CloneSharingMemory(clone_args* args, void (*run)(void*), void* argument) {
#if defined(__x86_64__)
  long result = SYS_clone3;
  asm volatile("syscall" : "+a"(result) : "D"(args), "S"(sizeof(*args)) : "rcx", "r11", "memory");
  if (result == 0) {
    run(argument);
    __builtin_trap();
  }
  if (result < 0) errno = static_cast<int>(-result);
  return result < 0 ? -1 : static_cast<pid_t>(result);
#else
  (void)args, (void)run, (void)argument;
  errno = ENOSYS;
  return -1;
#endif
}

void Futex(uint32_t* word, int operation, uint32_t value) {
  syscall(SYS_futex, word, operation, value, nullptr, nullptr, 0);
}

}  // namespace

// Mapped by the monitor, the zygote and, until its exec, what it clones.
struct Zygote::Shared {
  uint32_t state;
  pid_t child;  // written by the kernel before the process runs (CLONE_PARENT_SETTID)
  wire::ErrorReply failure;
  ChildRequest request;
  Plan* plan;  // in the zygote's memory
  int fds[wire::kMaxMessageFds];
  int tasks[kMaxHierarchies];
  // The zygote's, once it has been written, and what it was before: the monitor's.
  char oom_score_adj[8], monitors_score[8];
  size_t plan_bytes;
  alignas(void*) char plan_room[wire::kPlanInMessageMaxBytes];
  char* pointers[kPointerRoom];

  static void RunChild(void* argument) {
    auto* self = static_cast<Shared*>(argument);
    ChildRequest request = self->request;
    request.plan = self->plan;
    request.fds = self->fds;
    request.tasks = self->tasks;
    StepContext context;
    context.pointers = self->pointers;
    context.pointer_room = kPointerRoom;
    context.oom_score_adj = self->oom_score_adj;
    const StepFailure failure = RunRequest(request, &context);
    self->failure = ReplyOf(failure);
    EndChild(true, failure.error);
  }

  // What a process is cloned with it need not write itself: that makes a directory of its own in
  // /proc, to be removed again at its end. A plan that says nothing is to get the monitor's.
  void TakeOomScoreAdj() {
    const char* at = plan->begin();
    std::string_view wanted;
    for (uint32_t i = 0; i < plan->step_count() && wanted.empty(); ++i) {
      const Step step(at);
      wanted = OomScoreAdjOf(step);
      at += step.bytes();
    }
    if (wanted.empty()) wanted = monitors_score;
    if (wanted == oom_score_adj || wanted.size() >= sizeof(oom_score_adj)) return;
    const int fd = openat(request.proc, "self/oom_score_adj", O_RDWR | O_CLOEXEC);
    if (monitors_score[0] == '\0' && pread(fd, monitors_score, sizeof(monitors_score) - 1, 0) > 0)
      *strchrnul(monitors_score, '\n') = '\0';
    const bool written = monitors_score[0] != '\0' && pwrite(fd, wanted.data(), wanted.size(), 0) ==
                                                          static_cast<ssize_t>(wanted.size());
    if (fd >= 0) close(fd);
    if (written) {
      memcpy(oom_score_adj, wanted.data(), wanted.size() + 1);
    } else if (oom_score_adj[0] != '\0') {
      _exit(1);  // it is another container's: the monitor, whose own is as it was, forks this one
    }
  }

  void CloneChild() {
    Plan view;
    plan = &view;
    const char* call = "read plan";
    clone_args args = {};
    args.flags = CLONE_VM | CLONE_VFORK | CLONE_PARENT | CLONE_PARENT_SETTID;
    args.parent_tid = reinterpret_cast<uint64_t>(&child);
    if (request.clone_into_cgroup >= 0) {
      args.flags |= CLONE_INTO_CGROUP;
      args.cgroup = request.clone_into_cgroup;
    }
    bool ready = view.View(plan_room, plan_bytes);
    if (ready) TakeOomScoreAdj();
    if (ready && request.pid_namespace >= 0) {
      call = "enter pid namespace";
      ready = sys::SetNs(request.pid_namespace, CLONE_NEWPID) == 0;
    }
    if (ready) {
      call = "clone3";
      ready = !FAULT("monitor.zygote") && CloneSharingMemory(&args, RunChild, this) > 0;
    }
    if (ready) return;
    failure = ReplyOf({.step = -1, .error = errno, .call = call});
  }

  [[noreturn]] void Serve(pid_t monitor) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != monitor) _exit(1);
    while (true) {
      while (__atomic_load_n(&state, __ATOMIC_ACQUIRE) != kBusy) Futex(&state, FUTEX_WAIT, kIdle);
      CloneChild();
      const bool cloned = child > 0;
      __atomic_store_n(&state, kIdle, __ATOMIC_RELEASE);
      if (!cloned) kill(monitor, SIGCHLD);
    }
  }
};

void Zygote::Start() {
  if (pid_ > 0) return;
  void* memory =
      mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return;
  shared_ = static_cast<Shared*>(memory);
  const pid_t monitor = getpid();
  clone_args args = {};
  args.flags = CLONE_FILES;
  args.exit_signal = SIGCHLD;
  pid_ = sys::Clone3(&args);
  if (pid_ == 0) shared_->Serve(monitor);
  if (pid_ < 0) Forget();
}

void Zygote::End() {
  if (pid_ <= 0) return;
  kill(pid_, SIGKILL);
  while (waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
}

// What it cloned may still be reading its plan: the next zygote gets other memory.
void Zygote::Forget() {
  pid_ = -1;
  if (shared_ != nullptr) munmap(shared_, sizeof(Shared));
  shared_ = nullptr;
}

bool Zygote::Ready() const {
  return pid_ > 0 && __atomic_load_n(&shared_->state, __ATOMIC_ACQUIRE) == kIdle;
}

char* Zygote::plan_room() const { return shared_->plan_room; }

size_t Zygote::Read(int fd) {
  const ssize_t n = pread(fd, shared_->plan_room, sizeof(shared_->plan_room), 0);
  return n > 0 ? n : 0;
}

bool Zygote::Take(size_t bytes, Plan* plan) {
  if (!plan->View(shared_->plan_room, bytes)) return false;
  const char* at = plan->begin();
  for (uint32_t i = 0; i < plan->step_count(); ++i) {
    const Step step(at);
    if (step.string_count() + 2 > kPointerRoom) return false;
    at += step.bytes();
  }
  shared_->plan_bytes = bytes;
  return true;
}

void Zygote::Begin(const ChildRequest& request) {
  shared_->request = request;
  memcpy(shared_->fds, request.fds, request.fd_count * sizeof(int));
  memcpy(shared_->tasks, request.tasks, request.task_count * sizeof(int));
  shared_->child = -1;
  shared_->failure = {};
  __atomic_store_n(&shared_->state, kBusy, __ATOMIC_RELEASE);
  Futex(&shared_->state, FUTEX_WAKE, 1);
}

bool Zygote::Last(Plan* plan, ChildRequest* request) const {
  *request = shared_->request;
  request->plan = plan;
  request->fds = shared_->fds;
  request->tasks = shared_->tasks;
  return plan->View(shared_->plan_room, shared_->plan_bytes);
}

pid_t Zygote::child() const { return __atomic_load_n(&shared_->child, __ATOMIC_ACQUIRE); }

const wire::ErrorReply& Zygote::failure() const { return shared_->failure; }

}  // namespace berth::monitor
