// What a start asks of the daemon or brings along: hooks, seccomp listeners, target namespaces,
// stdin, external runtimes.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <string>

#include "absl/strings/str_cat.h"
#include "src/runtime/testing/monitor_fixture.h"

namespace berth {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using wire::Op;

class StartRequestsTest : public MonitorTest {
 protected:
  LaunchPlan PlanWith(const Container& container, const std::string& script,
                      const std::vector<PlanStep>& extra, Op before = Op::kPivotRoot) const {
    LaunchPlan plan = PlanOf(container, MakeSpec(container, {"sh", "-c", script}));
    const auto at = std::find_if(plan.steps.begin(), plan.steps.end(),
                                 [&](const PlanStep& step) { return step.op == before; });
    plan.steps.insert(at, extra.begin(), extra.end());
    return plan;
  }
  // A hook after the pivot: a program of the image.
  static PlanStep ShellHook(const std::string& script, int64_t timeout_ms = 20000) {
    return {.op = Op::kHook,
            .strings = {R"({"pid": %PID%})", "/bin/sh", "-c", script, "PATH=/bin", "ONLY=this"},
            .a = 3,
            .b = 2,
            .c = timeout_ms};
  }
};

TEST_F(StartRequestsTest, TheDaemonRunsItsHooksWhileTheStartWaits) {
  StartMonitor();
  Container& container = MakeContainer();
  pid_t asked = -1;
  const absl::StatusOr<pid_t> pid =
      StartPlan(container, PlanWith(container, "exit 3", {{.op = Op::kAskHooks}}),
                {.run_hooks = [&](pid_t due) {
                  asked = due;
                  EXPECT_EQ(access(absl::StrCat("/proc/", due).c_str(), F_OK), 0);
                  return absl::OkStatus();
                }});
  ASSERT_TRUE(pid.ok()) << pid.status();
  EXPECT_EQ(asked, *pid);
  EXPECT_EQ(AwaitExit(container.id).exit_code, 3);
}

TEST_F(StartRequestsTest, AHookOfTheDaemonThatFailsEndsTheStart) {
  StartMonitor();
  Container& container = MakeContainer();
  const absl::Status failed =
      StartPlan(container, PlanWith(container, "true", {{.op = Op::kAskHooks}}),
                {.run_hooks = [](pid_t) { return absl::AbortedError("hook says no"); }})
          .status();
  EXPECT_EQ(failed.message(), "hook says no");
  EXPECT_EQ(Replay().size(), 0u);
  EXPECT_TRUE(Children().empty());
}

TEST_F(StartRequestsTest, AHookRunsInsideWithTheStateAndItsOwnEnvironment) {
  StartMonitor();
  Container& container = MakeContainer();
  Pipe log;
  const absl::StatusOr<pid_t> pid =
      StartPlan(container,
                PlanWith(container, "cat /state /env",
                         {ShellHook("cat > /state; busybox env | busybox sort > /env; echo lost")},
                         Op::kExec),
                {.log = log.write.get()});
  ASSERT_TRUE(pid.ok()) << pid.status();
  AwaitExit(container.id);
  log.write.reset();
  const std::string text = log.Await("\xff");
  EXPECT_THAT(text, AllOf(HasSubstr(absl::StrCat("{\"pid\": ", *pid, "}")), HasSubstr("ONLY=this"),
                          HasSubstr("PATH=/bin"), testing::Not(HasSubstr("lost"))));
}

TEST_F(StartRequestsTest, AHookThatFailsOrHangsIsNamed) {
  StartMonitor();
  // Each in a container of its own: the kernel also kills what is cloned into a killed cgroup.
  const auto failure = [&](const PlanStep& hook) {
    Container& container = MakeContainer();
    return StartPlan(container, PlanWith(container, "true", {hook}, Op::kExec)).status();
  };
  EXPECT_EQ(failure(ShellHook("exit 4")).message(), "hook \"/bin/sh\": exited with status 4");
  EXPECT_EQ(failure(ShellHook("kill -9 $$")).message(), "hook \"/bin/sh\": killed by signal 9");
  const absl::Status hung = failure(ShellHook("sleep 1000", 50));
  EXPECT_EQ(hung.code(), absl::StatusCode::kDeadlineExceeded) << hung;
  EXPECT_EQ(hung.message(), "hook \"/bin/sh\": timed out after 50 ms");
  EXPECT_TRUE(Children().empty());
}

TEST_F(StartRequestsTest, ASeccompListenerIsHandedOver) {
  StartMonitor();
  Container& container = MakeContainer();
  sock_filter allow = {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW};
  const std::string filter(reinterpret_cast<const char*>(&allow), sizeof(allow));
  bool taken = false;
  const absl::StatusOr<pid_t> pid = StartPlan(
      container,
      PlanWith(container, "exit 6",
               {{.op = Op::kSeccomp, .strings = {filter}, .a = SECCOMP_FILTER_FLAG_NEW_LISTENER}}),
      {.take_seccomp_listener = [&](pid_t, UniqueFd listener) {
        const std::string link =
            std::filesystem::read_symlink(absl::StrCat("/proc/self/fd/", listener.get()));
        EXPECT_THAT(link, HasSubstr("seccomp notify"));
        taken = true;
        return absl::OkStatus();
      }});
  ASSERT_TRUE(pid.ok()) << pid.status();
  EXPECT_TRUE(taken);
  EXPECT_EQ(AwaitExit(container.id).exit_code, 6);
}

TEST_F(StartRequestsTest, ATargetsProcessesAreSeenAndItMustRun) {
  StartMonitor();
  Container& target = StartSleeper();
  Container& joined = MakeContainer();
  StartOptions options{.pid_mode = wire::PidMode::kContainer, .target_id = target.id};
  ContainerSpec spec =
      MakeSpec(joined, {"sh", "-c", "cat /proc/1/comm; test $$ -ne 1 && echo second"});
  spec.namespaces.own_pid = false;
  EXPECT_EQ(Run(joined, spec, options), "sh\nsecond\n");
  ASSERT_TRUE(client_->Stop(target.id, SIGKILL, absl::ZeroDuration()).ok());
  AwaitExit(target.id);
  Container& late = MakeContainer();
  ContainerSpec again = MakeSpec(late, {"true"});
  again.namespaces.own_pid = false;
  EXPECT_THAT(std::string(StartPlan(late, PlanOf(late, again), options).status().message()),
              HasSubstr("find running target container"));
}

TEST_F(StartRequestsTest, AnOpenStdinHasNoEnd) {
  StartMonitor();
  Container& container = MakeContainer();
  ContainerSpec spec = MakeSpec(
      container,
      {"sh", "-c", "test -p /proc/self/fd/0 && echo pipe; busybox timeout 1 cat; echo $?"});
  spec.stdin_open = true;
  EXPECT_THAT(Run(container, spec, {.stdin_open = true}),
              AllOf(HasSubstr("pipe\n"), HasSubstr("143\n")));
}

TEST_F(StartRequestsTest, UmaskAndAmbientCapabilitiesReachTheProcess) {
  StartMonitor();
  Container& container = MakeContainer();
  ContainerSpec spec =
      MakeSpec(container, {"sh", "-c", "umask; grep -E 'Cap(Inh|Prm|Amb)' /proc/self/status"});
  spec.identity = {.uid = 1000, .gid = 1000};
  spec.identity.caps = {.bounding = 0x400,
                        .permitted = 0x400,
                        .effective = 0x400,
                        .inheritable = 0x400,
                        .ambient = 0x400};
  spec.identity.umask = 077;
  EXPECT_EQ(Run(container, spec),
            "0077\nCapInh:\t0000000000000400\nCapPrm:\t0000000000000400\n"
            "CapAmb:\t0000000000000400\n");
}

// A runtime in the shape of runc's create: leaves a process and its pid.
class LauncherTest : public StartRequestsTest {
 protected:
  LaunchPlan Launch(const std::string& script) const {
    LaunchPlan plan;
    plan.steps.push_back({.op = Op::kSetNs, .a = 0, .b = CLONE_NEWNS});
    plan.steps.push_back(
        {.op = Op::kStdio, .a = wire::kNull, .b = wire::kLogStdout, .c = wire::kLogStderr});
    plan.steps.push_back({.op = Op::kExec,
                          .strings = {"/bin/busybox", "sh", "-c", script, "PATH=/bin:/usr/bin"},
                          .a = 4,
                          .b = 1});
    return plan;
  }
  absl::StatusOr<pid_t> StartLaunch(Container& container, const std::string& script, int log = -1) {
    const UniqueFd mounts(open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC));
    const StartOptions options{.pid_mode = wire::PidMode::kNode,
                               .log = log,
                               .host_mounts = mounts.get(),
                               .pid_dir = root_};
    container.handle.tasks.clear();  // the runtime joins cgroups itself
    return StartPlan(container, Launch(script), options);
  }
};

TEST_F(LauncherTest, TheProcessThatItLeavesIsTheContainer) {
  StartMonitor();
  Container& container = MakeContainer();
  Pipe log;
  const absl::StatusOr<pid_t> pid = StartLaunch(
      container,
      absl::StrCat(
          "(trap 'echo bye; exit 5' TERM; echo up; while :; do sleep 0.05; done) & echo -n $! > ",
          root_, "/pid"),
      log.write.get());
  ASSERT_TRUE(pid.ok()) << pid.status();
  EXPECT_EQ(ReadFileAt(AT_FDCWD, root_ + "/pid").value_or(""), absl::StrCat(*pid));
  EXPECT_THAT(log.Await("up"), HasSubstr("stdout F up"));
  ASSERT_TRUE(client_->Stop(container.id, SIGTERM, absl::Hours(1)).ok());
  EXPECT_EQ(AwaitExit(container.id).exit_code, 5);
}

TEST_F(LauncherTest, AContainerThatEndsAtOnceIsNotLost) {
  StartMonitor();
  for (int i = 0; i < 20; ++i) {
    Container& container = MakeContainer();
    // It ends as its launcher's descriptors are closed: before, with or after the launcher.
    const std::string fifo = absl::StrCat(root_, "/fifo-", i);
    ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
    ASSERT_TRUE(StartLaunch(container, absl::StrCat("(read x < ", fifo, "; exit 7) & exec 3> ",
                                                    fifo, "; echo -n $! > ", root_, "/pid"))
                    .ok());
    EXPECT_EQ(AwaitExit(container.id).exit_code, 7);
  }
}

TEST_F(LauncherTest, APidThatIsNobodysChildIsRefused) {
  StartMonitor();
  Container& container = MakeContainer();
  const absl::Status failed =
      StartLaunch(container, absl::StrCat("echo -n ", getpid(), " > ", root_, "/pid")).status();
  EXPECT_THAT(std::string(failed.message()), HasSubstr("read pid of runtime"));
}

TEST_F(LauncherTest, ItsFailureIsToldWithItsLastWords) {
  StartMonitor();
  Container& container = MakeContainer();
  const absl::Status failed =
      StartLaunch(
          container,
          absl::StrCat(R"(echo '{"level":"error","msg":"no \"such\" thing","time":"x"}' > )", root_,
                       "/log.json; exit 1"))
          .status();
  EXPECT_EQ(failed.message(), "runtime exited with status 1: no \"such\" thing");
  EXPECT_EQ(Replay().size(), 0u);
}

// The real runtimes, with a bundle as small as they take; the terminal comes over the console
// socket.
class RealRuntimeTest : public LauncherTest, public testing::WithParamInterface<const char*> {
 protected:
  void WriteBundle(bool terminal, const std::string& script) {
    std::filesystem::create_directories(root_ + "/rootfs");
    std::filesystem::copy(
        data_ + "/layers/1", root_ + "/rootfs",
        std::filesystem::copy_options::recursive | std::filesystem::copy_options::copy_symlinks);
    for (const char* directory : {"/rootfs/proc", "/rootfs/dev"})
      std::filesystem::create_directories(root_ + directory);
    const std::string config = absl::StrCat(
        R"({"ociVersion":"1.0.2","process":{"terminal":)", terminal ? "true" : "false",
        R"(,"user":{"uid":0,"gid":0},"args":["sh","-c",")", script,
        R"("],"env":["PATH=/bin"],"cwd":"/"},"root":{"path":"rootfs"},"mounts":[)",
        R"({"destination":"/proc","type":"proc","source":"proc"},)",
        R"({"destination":"/dev","type":"tmpfs","source":"tmpfs"},)",
        R"({"destination":"/dev/pts","type":"devpts","source":"devpts",)",
        R"("options":["newinstance","ptmxmode=0666","mode=0620"]}],"linux":{"namespaces":[)",
        R"({"type":"pid"},{"type":"mount"},{"type":"ipc"}],"cgroupsPath":")", cgroup_,
        R"(/oci"}})");
    ASSERT_TRUE(ReplaceFileAt(AT_FDCWD, root_ + "/config.json", config, 0644).ok());
  }
  absl::Status Command(const std::vector<std::string>& command) {
    const UniqueFd mounts(open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC));
    const LaunchPlan plan =
        BuildOciCommandPlan({.path = GetParam(), .root = root_ + "/run"}, command);
    const absl::StatusOr<ExecSyncResult> result = client_->ExecSync({.container_id = NewId(),
                                                                     .plan = &plan,
                                                                     .max_output_bytes = kOutput,
                                                                     .outside_container = true,
                                                                     .host_mounts = mounts.get()});
    if (!result.ok()) return result.status();
    return result->exit_code == 0 ? absl::OkStatus() : absl::AbortedError(result->error_output);
  }
  absl::StatusOr<pid_t> Create(Container& container, bool terminal, int log) {
    const std::string console =
        terminal ? absl::StrCat("--console-socket ", root_, "/console.sock ") : "";
    LaunchPlan plan = Launch(absl::StrCat(GetParam(), " --root ", root_, "/run --log ", root_,
                                          "/log.json --log-format json create --bundle ", root_,
                                          " --pid-file ", root_, "/pid ", console, container.id));
    if (terminal)
      plan.steps[1] = {.op = Op::kStdio, .a = wire::kNull, .b = wire::kNull, .c = wire::kNull};
    const UniqueFd mounts(open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC));
    StartOptions options{
        .pid_mode = wire::PidMode::kNode, .terminal = terminal, .log = log, .pid_dir = root_};
    options.host_mounts = mounts.get();
    container.handle.tasks.clear();
    return StartPlan(container, plan, options);
  }
};

TEST_P(RealRuntimeTest, CreatesStartsAndLogs) {
  if (access(GetParam(), X_OK) != 0) GTEST_SKIP() << "needs " << GetParam();
  for (const bool terminal : {false, true}) {
    if (monitor_.pid <= 0) StartMonitor();
    WriteBundle(terminal, "test -t 1 && echo tty; echo up; exit 9");
    Container& container = MakeContainer();
    Pipe log;
    const absl::StatusOr<pid_t> pid = Create(container, terminal, log.write.get());
    if (absl::StrContains(pid.status().message(), "hybrid mode not supported"))
      GTEST_SKIP() << pid.status();  // of crun, on a node that is no place for it
    ASSERT_TRUE(pid.ok()) << pid.status();
    EXPECT_EQ(Command({"start", container.id}), absl::OkStatus());
    EXPECT_EQ(AwaitExit(container.id).exit_code, 9);
    log.write.reset();
    const std::string text = log.Await("\xff");
    EXPECT_THAT(text, HasSubstr("up"));
    EXPECT_EQ(text.find("tty") != std::string::npos, terminal) << text;
    EXPECT_EQ(Command({"delete", container.id}), absl::OkStatus());
    std::filesystem::remove_all(root_ + "/rootfs");
    EXPECT_FALSE(std::filesystem::exists(root_ + "/console.sock"));
  }
}

TEST_P(RealRuntimeTest, AFailedCreateSaysWhatTheRuntimeSays) {
  if (access(GetParam(), X_OK) != 0) GTEST_SKIP() << "needs " << GetParam();
  StartMonitor();
  Container& container = MakeContainer();
  const absl::Status failed = Create(container, false, -1).status();
  EXPECT_THAT(std::string(failed.message()), HasSubstr("config.json"));
}

INSTANTIATE_TEST_SUITE_P(Runtimes, RealRuntimeTest,
                         testing::Values("/usr/sbin/runc", "/usr/bin/crun"), [](const auto& info) {
                           return std::filesystem::path(info.param).filename().string();
                         });

TEST_F(LauncherTest, ACommandOutsideNeedsNoContainer) {
  StartMonitor();
  const UniqueFd mounts(open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC));
  const LaunchPlan plan = BuildOciCommandPlan({.path = "/bin/echo", .root = "/nowhere"}, {"state"});
  const absl::StatusOr<ExecSyncResult> result = client_->ExecSync({.container_id = NewId(),
                                                                   .plan = &plan,
                                                                   .max_output_bytes = kOutput,
                                                                   .outside_container = true,
                                                                   .host_mounts = mounts.get()});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->output, "--root /nowhere state\n");
}

}  // namespace
}  // namespace berth
