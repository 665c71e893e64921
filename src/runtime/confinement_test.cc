#include "src/runtime/confinement.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "src/base/unique_fd.h"
#include "src/kernel/file.h"
#include "src/runtime/seccomp_profile.h"
#include "src/runtime/testing/under_filter.h"

namespace berth {
namespace {

using testing::AllOf;
using testing::HasSubstr;

// A child that has come as far as it should be looked at, and waits.
class Child {
 public:
  explicit Child(const std::string& filter, bool no_new_privs = false) {
    int ready[2];
    EXPECT_EQ(pipe2(ready, O_CLOEXEC), 0);
    pid_ = fork();
    if (pid_ == 0) {
      if (no_new_privs) prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
      if (!filter.empty() && LoadFilter(filter, 0) != 0) _exit(254);
      if (write(ready[1], "x", 1) != 1) _exit(253);
      while (true) pause();
    }
    close(ready[1]);
    char byte;
    EXPECT_EQ(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    pidfd_ = UniqueFd(static_cast<int>(syscall(SYS_pidfd_open, pid_, 0)));
  }
  ~Child() { Reap(); }
  void Kill() { kill(pid_, SIGKILL); }
  // Dead, but not waited for.
  void AwaitEnd() {
    siginfo_t info;
    EXPECT_EQ(waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOWAIT), 0);
  }
  void Reap() {
    if (pid_ <= 0) return;
    Kill();
    waitpid(pid_, nullptr, 0);
    pid_ = -1;
  }
  pid_t pid() const { return pid_; }
  int pidfd() const { return pidfd_.get(); }

 private:
  pid_t pid_ = -1;
  UniqueFd pidfd_;
};

std::string DefaultFilter() {
  return CompileDefaultSeccompProfile(0).value_or(SeccompProgram{}).filter;
}

TEST(VerifyConfinement, IsContentWithAFilterAndNoNewPrivs) {
  const Child child(DefaultFilter(), true);
  EXPECT_TRUE(VerifyConfinement(child.pidfd(), {.seccomp = true, .no_new_privs = true}).ok());
  EXPECT_TRUE(VerifyConfinementOfPid(child.pid(), {.seccomp = true, .no_new_privs = true}).ok());
  EXPECT_TRUE(VerifyConfinement(child.pidfd(), {}).ok()) << "more than asked for";
}

TEST(VerifyConfinement, NamesAMissingFilter) {
  const Child child("");
  const absl::Status status = VerifyConfinement(child.pidfd(), {.seccomp = true});
  EXPECT_EQ(status.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_THAT(std::string(status.message()), HasSubstr("Seccomp should be 2 (filter), is 0"));
  EXPECT_EQ(VerifyConfinementOfPid(child.pid(), {.seccomp = true}), status);
}

TEST(VerifyConfinement, NamesMissingNoNewPrivs) {
  const Child child("");
  const absl::Status status = VerifyConfinement(child.pidfd(), {.no_new_privs = true});
  EXPECT_THAT(std::string(status.message()), HasSubstr("NoNewPrivs should be 1, is 0"));
}

TEST(VerifyConfinement, LeavesTheDeadAlone) {
  Child child("");
  child.Kill();
  child.AwaitEnd();
  const ExpectedConfinement everything{
      .seccomp = true, .no_new_privs = true, .apparmor = "p", .selinux = "u:r:t:s0"};
  EXPECT_TRUE(VerifyConfinement(child.pidfd(), everything).ok()) << "not reaped";
  const pid_t pid = child.pid();
  child.Reap();
  EXPECT_TRUE(VerifyConfinement(child.pidfd(), everything).ok()) << "reaped";
  EXPECT_TRUE(VerifyConfinementOfPid(pid, everything).ok());
}

TEST(VerifyConfinement, RefusesWhatIsNoPidfd) {
  const UniqueFd null(open("/dev/null", O_RDONLY | O_CLOEXEC));
  EXPECT_EQ(VerifyConfinement(null.get(), {}).code(), absl::StatusCode::kInvalidArgument);
}

// Labels, from a /proc made for it: the process is this one.
class Labels : public testing::Test {
 protected:
  Labels() : pidfd_(static_cast<int>(syscall(SYS_pidfd_open, getpid(), 0))) {
    std::string name = absl::StrCat(testing::TempDir(), "/proc-XXXXXX");
    EXPECT_NE(mkdtemp(name.data()), nullptr);
    proc_ = name;
    Write("status", "Name:\tx\nNoNewPrivs:\t0\nSeccomp:\t2\nSeccomp_filters:\t1\n");
  }
  ~Labels() override { EXPECT_TRUE(RemoveTreeAt(AT_FDCWD, proc_).ok()); }
  void Write(const std::string& name, const std::string& text) {
    const std::string path = absl::StrCat(proc_, "/", getpid(), "/", name);
    ASSERT_TRUE(MakeDirs(path.substr(0, path.rfind('/')), 0700).ok());
    std::ofstream(path, std::ios::trunc) << text;
  }
  absl::Status Verify(const std::string& apparmor, const std::string& selinux) {
    return VerifyConfinement(
        pidfd_.get(), {.seccomp = true, .apparmor = apparmor, .selinux = selinux, .proc = proc_});
  }
  std::string proc_;
  UniqueFd pidfd_;
};

TEST_F(Labels, OfAppArmorAreComparedByProfile) {
  Write("attr/current", "berth-default (enforce)\n");
  EXPECT_TRUE(Verify("berth-default", "").ok());
  EXPECT_THAT(std::string(Verify("other", "").message()),
              AllOf(HasSubstr("should be other"), HasSubstr("is berth-default (enforce)")));
  EXPECT_FALSE(Verify("berth", "").ok());
  Write("attr/apparmor/current", "unconfined\n");
  EXPECT_FALSE(Verify("berth-default", "").ok()) << "AppArmor's own file is the better one";
}

TEST_F(Labels, OfSelinuxAreComparedWhole) {
  Write("attr/current", std::string("system_u:system_r:container_t:s0:c1,c2\0", 39));
  EXPECT_TRUE(Verify("", "system_u:system_r:container_t:s0:c1,c2").ok());
  EXPECT_THAT(std::string(Verify("", "system_u:system_r:container_t:s0:c1,c3").message()),
              AllOf(HasSubstr("s0:c1,c3"), HasSubstr("is system_u:system_r:container_t:s0:c1,c2")));
}

TEST_F(Labels, ThatCannotBeReadAreAnError) {
  EXPECT_FALSE(Verify("berth-default", "").ok());
  EXPECT_FALSE(Verify("", "u:r:t:s0").ok());
}

TEST(ExpectedOf, TakesWhatTheIdentityAsksFor) {
  const ExpectedConfinement expected = ExpectedOf({.no_new_privs = true,
                                                   .program = {.filter = "12345678"},
                                                   .apparmor = "p",
                                                   .selinux = "u:r:t:s0"});
  EXPECT_TRUE(expected.seccomp);
  EXPECT_TRUE(expected.no_new_privs);
  EXPECT_EQ(expected.apparmor, "p");
  EXPECT_EQ(expected.selinux, "u:r:t:s0");
  EXPECT_FALSE(ExpectedOf({}).seccomp);
}

}  // namespace
}  // namespace berth
