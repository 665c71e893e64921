// Capabilities and seccomp: the golden tables, privileged containers, profiles from files.
#include <gmock/gmock.h>

#include <fstream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "test/e2e/probed.h"
#include "test/e2e/volume.h"

namespace berth::e2e {
namespace {

using ::testing::AnyOf;
using ::testing::HasSubstr;
using ::testing::Not;

// Rows of a tab-separated file without its comments.
std::vector<std::vector<std::string>> Golden(const std::string& name) {
  std::ifstream file(absl::StrCat(BERTH_SOURCE_DIR, "/test/e2e/golden/", name));
  std::vector<std::vector<std::string>> rows;
  for (std::string line; std::getline(file, line);) {
    if (!line.empty() && line[0] != '#') rows.push_back(absl::StrSplit(line, '\t'));
  }
  EXPECT_FALSE(rows.empty()) << name;
  return rows;
}

MATCHER_P(HasMessage, part, "") {
  return !arg.ok() && absl::StrContains(std::string(arg.message()), part);
}

std::vector<std::string> List(const std::string& text) {
  if (text == "-") return {};
  return absl::StrSplit(text, ',');
}

class ConfinementTest : public ProbedTest {
 protected:
  Json ReportWithProfile(const HostDir& dir, const std::string& profile) {
    cri::ContainerConfig config = MakeProbe("c", {"report"});
    auto* seccomp = Security(config)->mutable_seccomp();
    seccomp->set_profile_type(cri::SecurityProfile::Localhost);
    seccomp->set_localhost_ref(dir.Write("profile.json", profile));
    return Report(config);
  }
  absl::Status RefusalOfProfile(const std::string& path) {
    cri::ContainerConfig config = MakeProbe("c", {"report"});
    auto* seccomp = Security(config)->mutable_seccomp();
    seccomp->set_profile_type(cri::SecurityProfile::Localhost);
    seccomp->set_localhost_ref(path);
    return Refusal(config);
  }
};

TEST_F(ConfinementTest, CapabilitySetsAreThoseOfTheTable) {
  constexpr const char* kSets[] = {"CapBnd", "CapPrm", "CapEff", "CapInh", "CapAmb"};
  const std::string all = OwnStatus("CapBnd");
  for (const auto& row : Golden("capabilities.tsv")) {
    ASSERT_EQ(row.size(), 9u);
    SCOPED_TRACE(
        absl::StrCat("add ", row[0], " drop ", row[1], " ambient ", row[2], " user ", row[3]));
    cri::ContainerConfig config = MakeProbe("c", {"report"});
    auto* capabilities = Security(config)->mutable_capabilities();
    for (const std::string& name : List(row[0])) capabilities->add_add_capabilities(name);
    for (const std::string& name : List(row[1])) capabilities->add_drop_capabilities(name);
    for (const std::string& name : List(row[2])) capabilities->add_add_ambient_capabilities(name);
    Security(config)->mutable_run_as_user()->set_value(std::stoi(row[3]));
    const Json report = Report(config);
    for (size_t i = 0; i < std::size(kSets); ++i) {
      const std::string& expected = row[4 + i] == "ALL" ? all : row[4 + i];
      EXPECT_EQ(report["status"][kSets[i]], expected) << kSets[i];
    }
  }
}

TEST_F(ConfinementTest, UnknownCapabilitiesAreRefusedInEveryList) {
  for (const char* name : {"NO_SUCH_CAPABILITY", "", "CAP_", "CAP_CAP_CHOWN", "CHOWN "}) {
    cri::ContainerConfig add = MakeProbe("c", {"report"}), drop = add, ambient = add;
    Security(add)->mutable_capabilities()->add_add_capabilities(name);
    Security(drop)->mutable_capabilities()->add_drop_capabilities(name);
    Security(ambient)->mutable_capabilities()->add_add_ambient_capabilities(name);
    for (const auto& config : {add, drop, ambient})
      EXPECT_CODE(Refusal(config), kInvalidArgument) << "\"" << name << "\"";
  }
}

// In `wanted`, words of golden/syscalls.tsv. What answers `bare` without any filter cannot be
// served better with one.
bool Suits(const std::string& result, const std::string& wanted, const std::string& bare) {
  const bool denied = result == "EPERM" || result == "ENOSYS";
  if (bare == "ENOSYS" && result == bare) return true;
  for (const absl::string_view word : absl::StrSplit(wanted, ' ')) {
    if (word == "-" || word == result || (word == "denied" && denied) ||
        (word == "served" && !denied))
      return true;
  }
  return false;
}

TEST_F(ConfinementTest, DefaultProfileAnswersAsTheTableSays) {
  constexpr const char* kMore[] = {"SYS_ADMIN",  "SYS_PTRACE", "SYS_BOOT",
                                   "SYS_MODULE", "BPF",        "PERFMON"};
  cri::ContainerConfig unconfined = MakeProbe("c", {"report"});
  for (const char* name : kMore)
    Security(unconfined)->mutable_capabilities()->add_add_capabilities(name);
  const Json bare = Report(unconfined)["syscalls"];
  const bool has_i386 = bare.value("i386_getpid", "") == "ok";
  for (const size_t column : {1u, 2u}) {
    cri::ContainerConfig config = MakeProbe("c", {"report"});
    Security(config)->mutable_seccomp()->set_profile_type(cri::SecurityProfile::RuntimeDefault);
    for (const char* name : kMore) {
      if (column == 2) Security(config)->mutable_capabilities()->add_add_capabilities(name);
    }
    const Json report = Report(config);
    for (const auto& row : Golden("syscalls.tsv")) {
      ASSERT_EQ(row.size(), 3u) << row[0];
      if (!has_i386 && absl::StartsWith(row[0], "i386_")) continue;  // no such calls to deny
      const std::string result = report["syscalls"].value(row[0], "not reported");
      EXPECT_TRUE(Suits(result, row[column], bare.value(row[0], "")))
          << row[0] << " is " << result << ", not " << row[column]
          << (column == 2 ? " with more capabilities" : "");
    }
  }
}

TEST_F(ConfinementTest, EveryCallOfTheProbeIsInTheTable) {
  std::set<std::string> known;
  for (const auto& row : Golden("syscalls.tsv")) known.insert(row[0]);
  const auto report = Report(MakeProbe("c", {"report"}));
  for (const auto& [name, result] : report["syscalls"].items())
    EXPECT_TRUE(known.contains(name)) << name;
}

TEST_F(ConfinementTest, ProfileOfTheNodeIsApplied) {
  HostDir dir(Name("-profile"));
  const Json report = ReportWithProfile(dir, R"({
    "defaultAction": "SCMP_ACT_ALLOW",
    "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
    "syscalls": [
      {"names": ["chroot"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28},
      {"names": ["sethostname", "no_such_call_at_all"], "action": "SCMP_ACT_ERRNO"}]})");
  EXPECT_EQ(report["status"]["Seccomp"], "2");
  EXPECT_EQ(report["syscalls"]["chroot"], "ENOSPC");
  EXPECT_EQ(report["syscalls"]["sethostname"], "EPERM");
  EXPECT_EQ(report["syscalls"]["raw_socket"], "ok");
}

TEST_F(ConfinementTest, ConditionsOnArgumentsHold) {
  HostDir dir(Name("-profile"));
  const Json report = ReportWithProfile(dir, R"({
    "defaultAction": "SCMP_ACT_ALLOW",
    "syscalls": [
      {"names": ["socket"], "action": "SCMP_ACT_ERRNO", "errnoRet": 13,
       "args": [{"index": 0, "value": 38, "op": "SCMP_CMP_EQ"}]},
      {"names": ["unshare"], "action": "SCMP_ACT_ERRNO", "errnoRet": 5,
       "args": [{"index": 0, "value": 268435456, "valueTwo": 268435456,
                 "op": "SCMP_CMP_MASKED_EQ"}]}]})");
  EXPECT_EQ(report["syscalls"]["af_alg"], "EACCES");
  EXPECT_EQ(report["syscalls"]["raw_socket"], "ok");
  EXPECT_EQ(report["syscalls"]["unshare_user"], "EIO");
  EXPECT_NE(report["syscalls"]["unshare_mount"], "EIO");
}

TEST_F(ConfinementTest, IncludesByCapabilityAreHonoured) {
  HostDir dir(Name("-profile"));
  const Json report = ReportWithProfile(dir, R"({
    "defaultAction": "SCMP_ACT_ALLOW",
    "syscalls": [
      {"names": ["chroot"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28,
       "includes": {"caps": ["CAP_SYS_ADMIN"]}},
      {"names": ["mknod", "mknodat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28,
       "excludes": {"caps": ["CAP_SYS_ADMIN"]}}]})");
  EXPECT_EQ(report["syscalls"]["chroot"], "ok") << "the container has no SYS_ADMIN";
  EXPECT_EQ(report["syscalls"]["mknod"], "ENOSPC");
}

// An allow-list that the probe lives with: chroot and the rest get the default.
TEST_F(ConfinementTest, DefaultErrnoOfAProfileIsUsed) {
  HostDir dir(Name("-profile"));
  const Json report = ReportWithProfile(dir, R"({
    "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38,
    "syscalls": [
      {"names": ["execve", "execveat", "exit", "exit_group", "arch_prctl", "set_tid_address",
                 "brk", "mmap", "munmap", "mprotect", "mremap", "madvise", "rt_sigaction",
                 "rt_sigprocmask", "rt_sigreturn", "fork", "vfork", "clone", "wait4", "read",
                 "readv", "pread64", "write", "writev", "open", "openat", "close", "lseek",
                 "fcntl", "ioctl", "dup", "dup2", "access", "faccessat", "stat", "fstat", "lstat",
                 "newfstatat", "statx", "statfs", "fstatfs", "readlink", "readlinkat", "getdents64",
                 "getcwd", "unlink", "unlinkat", "uname", "getrandom", "getpid", "getppid",
                 "gettid", "getpgid", "getpgrp", "getsid", "getuid", "geteuid", "getgid",
                 "getegid", "getgroups", "getrlimit", "prlimit64", "prctl", "umask", "futex",
                 "clock_gettime", "gettimeofday", "capget", "capset", "setuid", "setgid", "setgroups",
                 "setresuid", "setresgid", "close_range", "sendmsg", "sendto"],
       "action": "SCMP_ACT_ALLOW"},
      {"names": ["mknod", "mknodat"], "action": "SCMP_ACT_ERRNO"},
      {"names": ["personality"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28}]})");
  EXPECT_EQ(report["status"]["Seccomp"], "2");
  EXPECT_EQ(report["syscalls"]["getpid"], "ok");
  EXPECT_EQ(report["syscalls"]["chroot"], "ENOSYS");
  EXPECT_EQ(report["syscalls"]["raw_socket"], "ENOSYS");
  EXPECT_EQ(report["syscalls"]["mknod"], "EPERM") << "an entry's errno has a default of its own";
  EXPECT_EQ(report["syscalls"]["personality"], "ENOSPC");
}

TEST_F(ConfinementTest, ExecGetsTheProfileToo) {
  HostDir dir(Name("-profile"));
  cri::ContainerConfig config = MakeProbe("c", {"sleep"});
  auto* seccomp = Security(config)->mutable_seccomp();
  seccomp->set_profile_type(cri::SecurityProfile::Localhost);
  seccomp->set_localhost_ref(dir.Write("profile.json", R"({
    "defaultAction": "SCMP_ACT_ALLOW",
    "syscalls": [{"names": ["chroot"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28}]})"));
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), MakeKubeletPodConfig(Name())));
  NamespaceOptions(config)->set_pid(cri::CONTAINER);
  ASSERT_OK_AND_ASSIGN(const std::string id, pod.RunContainer(config));
  ASSERT_OK_AND_ASSIGN(const Json exec, pod.ExecForJson(id, {"report"}));
  EXPECT_EQ(exec["syscalls"]["chroot"], "ENOSPC");
}

TEST_F(ConfinementTest, ProfilesThatCannotBeAppliedAreRefused) {
  HostDir dir(Name("-profile"));
  EXPECT_CODE(RefusalOfProfile(dir / "absent.json"), kInvalidArgument, kNotFound,
              kFailedPrecondition);
  EXPECT_THAT(std::string(RefusalOfProfile(dir / "absent.json").message()),
              HasSubstr("absent.json"));
  EXPECT_FALSE(RefusalOfProfile(dir.Write("empty.json", "")).ok());
  EXPECT_FALSE(RefusalOfProfile(dir.Write("text.json", "not JSON")).ok());
  EXPECT_FALSE(RefusalOfProfile(dir.Write("none.json", "{}")).ok());
  EXPECT_FALSE(
      RefusalOfProfile(dir.Write("action.json", R"({"defaultAction": "SCMP_ACT_NOTHING"})")).ok());
  EXPECT_FALSE(RefusalOfProfile("relative.json").ok());
  EXPECT_FALSE(RefusalOfProfile("").ok());
  EXPECT_FALSE(RefusalOfProfile(dir.path()).ok());
}

// A program that its filter keeps from being reached was never started, even if the filter also
// forbids to tell so.
TEST_F(ConfinementTest, FilterThatForbidsTheStartIsAStartError) {
  HostDir dir(Name("-profile"));
  EXPECT_THAT(RefusalOfProfile(dir.Write("deny.json", R"({
                "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 13})")),
              HasMessage("seccomp filter"));
  EXPECT_THAT(RefusalOfProfile(dir.Write("exec.json", R"({
                "defaultAction": "SCMP_ACT_ALLOW",
                "syscalls": [{"names": ["execve", "sendmsg", "sendto", "write"],
                              "action": "SCMP_ACT_ERRNO", "errnoRet": 13}]})")),
              HasMessage("Permission denied"));
  for (const char* action : {"SCMP_ACT_KILL_PROCESS", "SCMP_ACT_KILL_THREAD", "SCMP_ACT_TRAP"}) {
    EXPECT_THAT(RefusalOfProfile(dir.Write(
                    "kill.json", absl::StrCat(R"({"defaultAction": ")", action, R"("})"))),
                HasMessage("seccomp filter"))
        << action;
    EXPECT_THAT(RefusalOfProfile(
                    dir.Write("kill-exec.json", absl::StrCat(R"({"defaultAction": "SCMP_ACT_ALLOW",
                      "syscalls": [{"names": ["execve"], "action": ")",
                                                             action, R"("}]})"))),
                HasMessage("seccomp filter"))
        << action;
  }
}

TEST_F(ConfinementTest, ReferenceIsForLocalhostOnly) {
  for (const auto type : {cri::SecurityProfile::RuntimeDefault, cri::SecurityProfile::Unconfined}) {
    cri::ContainerConfig config = MakeProbe("c", {"report"});
    Security(config)->mutable_seccomp()->set_profile_type(type);
    Security(config)->mutable_seccomp()->set_localhost_ref("/etc/profile.json");
    EXPECT_CODE(Refusal(config), kInvalidArgument);
  }
}

// ---- privileged ----

class PrivilegedTest : public ProbedTest {
 protected:
  static cri::PodSandboxConfig PodConfig(const std::string& name) {
    cri::PodSandboxConfig config = MakeKubeletPodConfig(name);
    config.mutable_linux()->mutable_security_context()->set_privileged(true);
    return config;
  }
  static cri::ContainerConfig Container(const std::vector<std::string>& arguments) {
    cri::ContainerConfig config = MakeKubeletProbe("c", arguments);
    Security(config)->set_privileged(true);
    return config;
  }
};

TEST_F(PrivilegedTest, HasEveryCapabilityAndNoFilter) {
  const Json report = Report(PodConfig(Name()), Container({"report"}));
  for (const char* set : {"CapBnd", "CapPrm", "CapEff"})
    EXPECT_EQ(report["status"][set], OwnStatus("CapBnd")) << set;
  EXPECT_EQ(report["status"]["CapInh"], "0000000000000000");
  EXPECT_EQ(report["status"]["Seccomp"], "0");
  EXPECT_EQ(report["syscalls"]["mount"], "ok");
}

TEST_F(PrivilegedTest, SysAndProcAreWritableAndUnmasked) {
  const Json paths =
      Report(PodConfig(Name()),
             Container({"paths", "/sys", "/proc", "/proc/sys", "/proc/kcore", "/sys/fs/cgroup"}));
  for (const char* path : {"/sys", "/proc", "/proc/sys"})
    EXPECT_EQ(paths[path]["readonly"], false) << path;
  if (paths["/proc/kcore"]["type"] != "ENOENT") {
    EXPECT_EQ(paths["/proc/kcore"]["type"], "file") << "unmasked";
  }
  EXPECT_EQ(paths["/sys/fs/cgroup"]["type"], "dir");
}

TEST_F(PrivilegedTest, HasTheDevicesOfTheNode) {
  const Json report = Report(PodConfig(Name()), Container({"report"}));
  for (const char* path : {"/dev/kmsg", "/dev/null", "/dev/loop-control"}) {
    if (access(path, F_OK) != 0) continue;
    EXPECT_EQ(report["dev"][path].value("type", "absent"), "char") << path;
  }
  EXPECT_EQ(report["dev"]["/dev/ptmx"].value("target", ""), "pts/ptmx") << "its own";
}

TEST_F(PrivilegedTest, EveryDeviceIsPermitted) {
  if (access("/dev/loop-control", F_OK) != 0) GTEST_SKIP() << "the node has no /dev/loop-control";
  const Json devices = Report(PodConfig(Name()), Container({"devices", "/dev/loop-control"}));
  EXPECT_EQ(devices["/dev/loop-control"]["read"], "ok");
  EXPECT_EQ(devices["/dev/loop-control"]["write"], "ok");
}

TEST_F(PrivilegedTest, SeccompProfileIsNotAppliedEvenFromTheNode) {
  cri::ContainerConfig config = Container({"report"});
  Security(config)->mutable_seccomp()->set_profile_type(cri::SecurityProfile::RuntimeDefault);
  EXPECT_EQ(Report(PodConfig(Name()), config)["status"]["Seccomp"], "0");
}

TEST_F(PrivilegedTest, NoNewPrivilegesStaysHonoured) {
  cri::ContainerConfig config = Container({"report"});
  Security(config)->set_no_new_privs(true);
  EXPECT_EQ(Report(PodConfig(Name()), config)["status"]["NoNewPrivs"], "1");
}

TEST_F(PrivilegedTest, IsRefusedInAPodThatIsNot) {
  const absl::Status refusal = Refusal(MakeKubeletPodConfig(Name()), Container({"report"}));
  EXPECT_CODE(refusal, kInvalidArgument, kFailedPrecondition, kPermissionDenied);
  EXPECT_THAT(std::string(refusal.message()), HasSubstr("privileged"));
}

TEST_F(PrivilegedTest, OrdinaryContainerOfAPrivilegedPodIsConfined) {
  const Json report = Report(PodConfig(Name()), MakeKubeletProbe("c", {"report"}));
  EXPECT_EQ(report["status"]["CapEff"], "00000000a80425fb");
  EXPECT_EQ(report["status"]["Seccomp"], "2");
  EXPECT_EQ(report["filesystems"]["/sys"]["readonly"], true);
  EXPECT_FALSE(report["dev"].contains("/dev/kmsg"));
}

}  // namespace
}  // namespace berth::e2e
