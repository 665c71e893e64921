// The filters as the kernel runs them: calls made for real, the way each architecture makes them.
// No root: no_new_privs is enough to load a filter.
#include <gtest/gtest.h>
#include <linux/if_alg.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "absl/strings/str_cat.h"
#include "src/runtime/capabilities.h"
#include "src/runtime/seccomp_profile.h"
#include "src/runtime/testing/filter_interpreter.h"
#include "src/runtime/testing/under_filter.h"

#if defined(__x86_64__)

namespace berth {
namespace {

// What a call returned, as the exit status of a child: 0, or its errno (below 250).
constexpr int kNoAnswer = 250;

int Answer(long result) {
  if (result >= 0) return 0;
  return result > -kNoAnswer ? static_cast<int>(-result) : kNoAnswer;
}

long Native(long number, long a = 0, long b = 0, long c = 0) {
  long result;
  asm volatile("syscall"
               : "=a"(result)
               : "a"(number), "D"(a), "S"(b), "d"(c)
               : "rcx", "r11", "memory");
  return result;
}

// i386's way in; the kernel takes the low halves of the registers.
long Compat(long number, long a = 0, long b = 0, long c = 0) {
  long result;
  asm volatile("int $0x80"
               : "=a"(result)
               : "a"(number), "b"(a), "c"(b), "d"(c)
               : "r8", "r9", "r10", "r11", "memory");
  return static_cast<int>(result);
}

const std::string& DefaultFilter() {
  static const std::string* filter = new std::string(
      CompileDefaultSeccompProfile(DefaultCapabilities()).value_or(SeccompProgram{}).filter);
  return *filter;
}

struct RealCall {
  const char* name;
  int number;
  long a, b;
  int answer;  // 0 or an errno
};

void ExpectAnswers(const std::vector<RealCall>& calls, long (*enter)(long, long, long, long)) {
  for (const RealCall& call : calls) {
    const int status = WaitStatusUnder(
        DefaultFilter(), [&] { return Answer(enter(call.number, call.a, call.b, 0)); });
    ASSERT_TRUE(WIFEXITED(status)) << call.name << " ended by signal " << WTERMSIG(status);
    EXPECT_EQ(WEXITSTATUS(status), call.answer) << call.name;
  }
}

TEST(SeccompInTheKernel, AnswersNativeCalls) {
  ExpectAnswers(
      {{"getpid", SYS_getpid, 0, 0, 0},
       {"socket AF_UNIX", SYS_socket, AF_UNIX, SOCK_STREAM, 0},
       {"socket AF_ALG", SYS_socket, AF_ALG, SOCK_SEQPACKET, EPERM},
       {"socket AF_ALG, upper bits", SYS_socket, AF_ALG | 1L << 32, SOCK_SEQPACKET, EPERM},
       {"socket AF_VSOCK", SYS_socket, AF_VSOCK, SOCK_STREAM, EPERM},
       {"unshare user", SYS_unshare, CLONE_NEWUSER, 0, EPERM},
       {"clone user", SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, EPERM},
       {"clone3", SYS_clone3, 0, 0, ENOSYS},
       {"io_uring_setup", 425, 1, 0, EPERM},
       {"bpf", SYS_bpf, 0, 0, EPERM},
       {"userfaultfd", SYS_userfaultfd, 0, 0, EPERM},
       {"keyctl", SYS_keyctl, 0, 0, EPERM},
       {"add_key", SYS_add_key, 0, 0, EPERM},
       {"request_key", SYS_request_key, 0, 0, EPERM},
       {"perf_event_open", SYS_perf_event_open, 0, 0, EPERM},
       {"mount", SYS_mount, 0, 0, EPERM},
       {"setns", SYS_setns, -1, 0, EPERM},
       {"open_by_handle_at", SYS_open_by_handle_at, -1, 0, EPERM},
       {"personality", SYS_personality, 0x0040000, 0, ENOSYS},
       {"personality now", SYS_personality, 0xffffffff, 0, 0},
       {"no call", 1000, 0, 0, ENOSYS}},
      [](long number, long a, long b, long c) { return Native(number, a, b, c); });
}

TEST(SeccompInTheKernel, AnswersI386Calls) {
  const pid_t probe = fork();
  if (probe == 0) _exit(Answer(Compat(20)));
  int status = -1;
  ASSERT_EQ(waitpid(probe, &status, 0), probe);
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
    GTEST_SKIP() << "this kernel has no i386 calls (CONFIG_IA32_EMULATION)";
  ExpectAnswers({{"getpid", 20, 0, 0, 0},
                 {"socketcall socket", 102, 1, 0, EPERM},
                 {"socket AF_UNIX", 359, AF_UNIX, SOCK_STREAM, 0},
                 {"socket AF_ALG", 359, AF_ALG, SOCK_SEQPACKET, EPERM},
                 {"socket AF_VSOCK", 359, AF_VSOCK, SOCK_STREAM, EPERM},
                 {"unshare user", 310, CLONE_NEWUSER, 0, EPERM},
                 {"clone user", 120, CLONE_NEWUSER | SIGCHLD, 0, EPERM},
                 {"clone3", 435, 0, 0, ENOSYS},
                 {"io_uring_setup", 425, 1, 0, EPERM},
                 {"bpf", 357, 0, 0, EPERM},
                 {"userfaultfd", 374, 0, 0, EPERM},
                 {"keyctl", 288, 0, 0, EPERM},
                 {"perf_event_open", 336, 0, 0, EPERM},
                 {"mount", 21, 0, 0, EPERM},
                 {"no call", 1000, 0, 0, ENOSYS}},
                [](long number, long a, long b, long c) { return Compat(number, a, b, c); });
}

// The filter sees x32 numbers whether or not the kernel has the calls behind them.
TEST(SeccompInTheKernel, AnswersX32Calls) {
  constexpr int kX32 = 0x40000000;
  ExpectAnswers({{"socket AF_ALG", kX32 | 41, AF_ALG, SOCK_SEQPACKET, EPERM},
                 {"unshare user", kX32 | 272, CLONE_NEWUSER, 0, EPERM},
                 {"clone3", kX32 | 435, 0, 0, ENOSYS},
                 {"io_uring_setup", kX32 | 425, 1, 0, EPERM},
                 {"bpf", kX32 | 321, 0, 0, EPERM},
                 {"keyctl", kX32 | 250, 0, 0, EPERM},
                 {"mount", kX32 | 165, 0, 0, EPERM},
                 {"no call", kX32 | 1000, 0, 0, ENOSYS}},
                [](long number, long a, long b, long c) { return Native(number, a, b, c); });
}

int UnderProfile(absl::string_view action) {
  const absl::StatusOr<SeccompProgram> program = CompileSeccompProfile(
      absl::StrCat(
          R"({"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["getppid"],"action":")",
          action, "\"}]}"),
      0);
  EXPECT_TRUE(program.ok()) << program.status();
  if (!program.ok()) return -1;
  return WaitStatusUnder(program->filter, [] { return Answer(Native(SYS_getppid)); });
}

TEST(SeccompInTheKernel, CarriesOutTheActionsOfAProfile) {
  EXPECT_EQ(WTERMSIG(UnderProfile("SCMP_ACT_KILL_PROCESS")), SIGSYS);
  EXPECT_EQ(WTERMSIG(UnderProfile("SCMP_ACT_KILL_THREAD")), SIGSYS);
  EXPECT_EQ(WTERMSIG(UnderProfile("SCMP_ACT_TRAP")), SIGSYS);
  EXPECT_EQ(WEXITSTATUS(UnderProfile("SCMP_ACT_ERRNO")), EPERM);
  EXPECT_EQ(WEXITSTATUS(UnderProfile("SCMP_ACT_TRACE")), ENOSYS) << "nobody traces";
  EXPECT_EQ(UnderProfile("SCMP_ACT_LOG"), 0);
  EXPECT_EQ(UnderProfile("SCMP_ACT_ALLOW"), 0);
}

}  // namespace
}  // namespace berth

#endif
