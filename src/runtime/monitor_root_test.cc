// The monitor as a whole: its answers, the life of containers, watches, leaks.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <map>
#include <string>
#include <thread>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "src/base/id.h"
#include "src/base/steady_time.h"
#include "src/kernel/cgroup.h"
#include "src/kernel/file.h"
#include "src/kernel/process.h"
#include "src/kernel/socket.h"
#include "src/runtime/container_plan.h"
#include "src/runtime/monitor_client.h"
#include "src/runtime/seccomp_profile.h"
#include "src/runtime/testing/monitor_fixture.h"

namespace berth {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using wire::Op;

TEST_F(MonitorTest, HandsOutThePodsNetworkNamespaceAndASocketInIt) {
  StartMonitor({.hostname = "web"});
  const absl::StatusOr<MonitorHello> hello = client_->Hello(pod_plan_);
  ASSERT_TRUE(hello.ok()) << hello.status();
  struct stat own, pods, monitors;
  ASSERT_EQ(stat("/proc/self/ns/net", &own), 0);
  ASSERT_EQ(fstat(hello->network_namespace.get(), &pods), 0);
  ASSERT_EQ(stat(absl::StrCat("/proc/", monitor_.pid, "/ns/net").c_str(), &monitors), 0);
  EXPECT_NE(pods.st_ino, own.st_ino);
  EXPECT_EQ(pods.st_ino, monitors.st_ino);
  EXPECT_TRUE(hello->netlink.valid());
}

TEST_F(MonitorTest, HandsOutNoNetworkOfTheNode) {
  StartMonitor();
  const absl::StatusOr<MonitorHello> hello = client_->Hello(pod_plan_);
  ASSERT_TRUE(hello.ok()) << hello.status();
  EXPECT_FALSE(hello->network_namespace.valid());
  EXPECT_FALSE(hello->netlink.valid());
}

TEST_F(MonitorTest, SaysWhichStepOfThePodsPlanFailed) {
  const absl::StatusOr<CgroupHandle> cgroup = cgroups_->CreateForMonitor(cgroup_);
  ASSERT_TRUE(cgroup.ok());
  LaunchPlan plan;
  plan.steps.push_back({.op = Op::kUnshare, .a = CLONE_NEWNS});
  plan.steps.push_back({.op = Op::kMount, .strings = {"nosuchfs", "/shm", ""}});
  SetUpMonitor({.pod_id = "pod", .plan = &plan}, *cgroup);
  const absl::Status failed = client_->Hello(plan).status();
  EXPECT_EQ(failed.message(), "create mount (mount a=0x0 nosuchfs /shm ): No such device");
  EXPECT_TRUE(client_->Shutdown().ok()) << "a monitor without a pod can still be ended";
  EXPECT_TRUE(HasEnded(monitor_.pidfd.get()));
}

TEST_F(MonitorTest, TakesALargePlanInAFile) {
  const absl::StatusOr<CgroupHandle> cgroup = cgroups_->CreateForMonitor(cgroup_);
  ASSERT_TRUE(cgroup.ok());
  LaunchPlan plan = BuildPodPlan({.network = NamespaceMode::kNode}, 0);
  plan.steps.resize(plan.steps.size() + 2000, {.op = Op::kPrivateMounts});
  SetUpMonitor({.pod_id = "pod", .plan = &plan}, *cgroup);
  const absl::Status greeted = client_->Hello(plan).status();
  EXPECT_TRUE(greeted.ok()) << greeted;
}

TEST_F(MonitorTest, JoinsItsCgroups) {
  if (cgroups_->ClonesMonitors(cgroup_)) GTEST_SKIP() << "with cgroup2 it is cloned there";
  StartMonitor();
  const std::string own =
      ReadFileAt(AT_FDCWD, absl::StrCat("/proc/", monitor_.pid, "/cgroup")).value_or("");
  size_t joined = 0;
  for (const absl::string_view line : absl::StrSplit(own, '\n', absl::SkipEmpty()))
    joined += absl::EndsWith(line, cgroup_) ? 1 : 0;
  EXPECT_EQ(joined, cgroups_->CreateForMonitor(cgroup_)->tasks.size());
}

TEST_F(MonitorTest, SaysThatItCouldNotJoinACgroup) {
  const LaunchPlan plan = BuildPodPlan({.network = NamespaceMode::kNode}, 0);
  CgroupHandle none;
  none.tasks.emplace_back(open("/dev/full", O_WRONLY | O_CLOEXEC));
  SetUpMonitor({.pod_id = "pod", .plan = &plan}, none);
  EXPECT_EQ(client_->AwaitGreeting(std::move(greeting_), plan).status().message(),
            "monitor join cgroup: No space left on device");
}

TEST_F(MonitorTest, CarriesOutWhatItsPlanBeginsWithBeforeItHasAPod) {
  const absl::StatusOr<CgroupHandle> cgroup = cgroups_->CreateForMonitor(cgroup_);
  ASSERT_TRUE(cgroup.ok());
  const LaunchPlan common = BuildCommonPodPlan();
  LaunchPlan rest = BuildPodPlan({.network = NamespaceMode::kNode}, 0);
  ASSERT_EQ(rest.steps.size(), common.steps.size()) << "a pod on the node's network has no more";
  rest.steps.clear();
  SetUpMonitor({.pod_id = "pod", .plan = &rest}, *cgroup, &common);
  ASSERT_TRUE(client_->AwaitGreeting(std::move(greeting_), rest).ok());
  const std::string mounts =
      ReadFileAt(AT_FDCWD, absl::StrCat("/proc/", monitor_.pid, "/mounts")).value_or("");
  EXPECT_THAT(mounts, HasSubstr(" /shm tmpfs "));
  Container& container = MakeContainer();
  EXPECT_TRUE(Start(container, "test -d /dev/shm").ok());
}

TEST_F(MonitorTest, SaysThatWhatItsPlanBeginsWithFailed) {
  const absl::StatusOr<CgroupHandle> cgroup = cgroups_->CreateForMonitor(cgroup_);
  ASSERT_TRUE(cgroup.ok());
  LaunchPlan common;
  common.steps.push_back({.op = Op::kMount, .strings = {"nosuchfs", "/shm", ""}});
  const LaunchPlan rest;
  SetUpMonitor({.pod_id = "pod", .plan = &rest}, *cgroup, &common);
  EXPECT_EQ(client_->AwaitGreeting(std::move(greeting_), rest).status().message(),
            "monitor create mount: No such device");
}

TEST_F(MonitorTest, OneThatNoPodHasTakenEndsWithItsObject) {
  {
    const absl::StatusOr<ReadyMonitor> ready =
        ReadyMonitor::Start({.state_dir = root_ + "/ready",
                             .executable = executable_.get(),
                             .mount_namespace = mounts_.get()});
    ASSERT_TRUE(ready.ok()) << ready.status();
    EXPECT_FALSE(ready->HasEnded());
    EXPECT_TRUE(std::filesystem::exists(root_ + "/ready/monitor.sock"));
    EXPECT_EQ(waitid(P_ALL, 0, nullptr, WEXITED | WNOHANG | WNOWAIT), 0) << "there is a child";
  }
  EXPECT_EQ(waitid(P_ALL, 0, nullptr, WEXITED | WNOHANG | WNOWAIT), -1);
  EXPECT_EQ(errno, ECHILD);
  EXPECT_FALSE(std::filesystem::exists(root_ + "/ready"));
}

TEST_F(MonitorTest, IsWatchedFromItsStart) {
  StartMonitor();
  const absl::StatusOr<Packet> listed = ReceivePacket(watch_.get(), SteadyNow() + kPatience);
  ASSERT_TRUE(listed.ok()) << listed.status();
  const auto end = ParseWatchEvent(listed->data);
  ASSERT_TRUE(end.ok()) << end.status();
  EXPECT_FALSE(end->has_value()) << "nothing was started yet";
  Container& container = MakeContainer();
  ASSERT_TRUE(Start(container, "exit 7").ok());
  const absl::StatusOr<Packet> packet = ReceivePacket(watch_.get(), SteadyNow() + kPatience);
  ASSERT_TRUE(packet.ok()) << packet.status();
  const auto running = ParseWatchEvent(packet->data);
  ASSERT_TRUE(running.ok()) << running.status();
  EXPECT_EQ((*running)->container_id, container.id);
}

TEST_F(MonitorTest, TellsAndRecordsHowAContainerExited) {
  StartMonitor();
  Container& container = MakeContainer();
  Pipe log;
  const int64_t before = absl::GetCurrentTimeNanos();
  ASSERT_TRUE(Start(container, "echo out; echo err >&2; exit 7", {.log = log.write.get()}).ok());
  const WatchEvent event = AwaitExit(container.id);
  EXPECT_EQ(event.exit_code, 7);
  EXPECT_FALSE(event.oom);
  EXPECT_GE(event.finished_at, before);
  const absl::StatusOr<WatchEvent> record = ReadExitRecord(state_, container.id);
  ASSERT_TRUE(record.ok()) << record.status();
  EXPECT_EQ(record->exit_code, 7);
  EXPECT_EQ(record->finished_at, event.finished_at);
  log.write.reset();
  const std::string text =
      log.Await("\xff");  // to its end: the monitor keeps no log of the dead open
  EXPECT_THAT(text, AllOf(HasSubstr(" stdout F out\n"), HasSubstr(" stderr F err\n")));
}

// The slice of a process, in nanoseconds (the fourth word of struct sched_attr, sched_setattr(2)).
// Kernels before 6.12 tell none.
uint64_t SliceOf(pid_t pid) {
  uint64_t attr[6] = {};
  EXPECT_EQ(syscall(SYS_sched_getattr, pid, attr, sizeof(attr), 0), 0) << pid;
  return attr[3];
}

TEST_F(MonitorTest, IsQuickerAtAStartButNobodyInheritsThat) {
  StartMonitor();
  Container& container = MakeContainer();
  const absl::StatusOr<pid_t> pid = Start(container, "sleep 100");
  ASSERT_TRUE(pid.ok()) << pid.status();
  EXPECT_EQ(SliceOf(*pid), SliceOf(getpid()));
  ASSERT_TRUE(client_->Stop(container.id, SIGKILL, absl::Hours(1)).ok());
  AwaitExit(container.id);
  EXPECT_EQ(SliceOf(monitor_.pid), SliceOf(getpid())) << "it writes logs like anybody else";
}

TEST_F(MonitorTest, ReportsASignalAs128AndItsNumber) {
  StartMonitor();
  for (const int signal : {SIGTERM, SIGKILL, SIGSEGV, SIGHUP}) {
    Container& container = MakeContainer();
    // In the node's pid namespace: the first process of a namespace of its own is immune to its own
    // signals.
    ASSERT_TRUE(
        Start(container, absl::StrCat("kill -", signal, " $$"), {.pid_mode = wire::PidMode::kNode})
            .ok());
    const WatchEvent event = AwaitExit(container.id);
    EXPECT_EQ(event.exit_code, 128 + signal);
    EXPECT_FALSE(event.oom);
  }
}

TEST_F(MonitorTest, RunsAWholeContainerAsPlanned) {
  StartMonitor();
  Container& container = MakeContainer();
  ContainerSpec spec = MakeSpec(
      container, {"sh", "-c",
                  "id -u; id -G; cat /proc/self/oom_score_adj /etc/hosts; ls -l /proc/uptime; cat "
                  "/proc/uptime;"
                  "grep -E 'NoNewPrivs|Seccomp:|CapEff|CapInh|CapAmb|CapBnd' /proc/self/status;"
                  "echo x 2>/dev/null > /new || echo root is read-only;"
                  "echo x 2>/dev/null > /proc/sys/kernel/domainname || echo sys is read-only;"
                  "cat /proc/1/comm; kill -0 2 2>/dev/null || echo alone"});
  spec.readonly_rootfs = true;
  spec.masked_paths = {"/proc/uptime", "/proc/acpi", "/nowhere"};
  spec.readonly_paths = {"/proc/sys"};
  spec.identity = {.uid = 1000,
                   .gid = 100,
                   .groups = {100, 7},
                   .caps = Caps(1),
                   .no_new_privs = true,
                   .oom_score_adj = 500};
  absl::StatusOr<SeccompProgram> seccomp = CompileDefaultSeccompProfile(1);
  ASSERT_TRUE(seccomp.ok());
  spec.identity.program = *seccomp;
  Pipe log;
  const absl::StatusOr<pid_t> pid =
      StartPlan(container, PlanOf(container, spec), {.log = log.write.get()});
  ASSERT_TRUE(pid.ok()) << pid.status();
  AwaitExit(container.id);
  log.write.reset();
  std::string text;
  for (absl::string_view line : absl::StrSplit(log.Await("\xff"), '\n', absl::SkipEmpty())) {
    absl::StrAppend(&text, line.substr(31), "\n");
  }
  EXPECT_THAT(text, HasSubstr("stdout F 1000\nstdout F 100 7\nstdout F 500\nstdout F test\n"));
  EXPECT_THAT(text, HasSubstr("crw-rw-rw-"));  // /proc/uptime is the null device
  EXPECT_THAT(text, HasSubstr("CapInh:\t0000000000000000"));
  EXPECT_THAT(text, HasSubstr("CapEff:\t0000000000000000"));
  EXPECT_THAT(text, HasSubstr("CapBnd:\t0000000000000001"));
  EXPECT_THAT(text, HasSubstr("CapAmb:\t0000000000000000"));
  EXPECT_THAT(text, HasSubstr("NoNewPrivs:\t1"));
  EXPECT_THAT(text, HasSubstr("Seccomp:\t2"));
  EXPECT_THAT(text, HasSubstr("root is read-only"));
  EXPECT_THAT(text, HasSubstr("sys is read-only"));
  EXPECT_THAT(text, HasSubstr("stdout F sh\n"));
}

TEST_F(MonitorTest, LeavesNoTraceOfAContainerInTheHostsMounts) {
  // What other tests mount meanwhile is not seen here.
  ASSERT_EQ(unshare(CLONE_NEWNS), 0);
  ASSERT_EQ(mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0);
  StartMonitor();
  const std::string before = ReadFileAt(AT_FDCWD, "/proc/self/mountinfo").value_or("");
  StartSleeper();
  EXPECT_EQ(ReadFileAt(AT_FDCWD, "/proc/self/mountinfo").value_or("?"), before);
}

TEST_F(MonitorTest, GivesATerminalOnRequest) {
  StartMonitor();
  Container& container = MakeContainer();
  Pipe log;
  ASSERT_TRUE(Start(container, "tty; stat -c %t /dev/console; exit 4",
                    {.terminal = true, .log = log.write.get()})
                  .ok());
  EXPECT_EQ(AwaitExit(container.id).exit_code, 4);
  log.write.reset();
  EXPECT_THAT(log.Await("\xff"),
              AllOf(HasSubstr(" stdout F /dev/pts/0\r\n"), HasSubstr(" stdout F 88\r\n")));
}

TEST_F(MonitorTest, NamesAMissingExecutable) {
  StartMonitor();
  Container& container = MakeContainer();
  const LaunchPlan plan = PlanOf(container, MakeSpec(container, {"nope"}));
  const absl::Status failed = StartPlan(container, plan).status();
  EXPECT_EQ(failed.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(failed.message(), "exec: \"nope\": executable file not found in $PATH");
  Container& other = MakeContainer();
  const absl::Status path = StartPlan(other, PlanOf(other, MakeSpec(other, {"/no/x"}))).status();
  EXPECT_EQ(path.message(), "exec: \"/no/x\": No such file or directory");
  EXPECT_FALSE(ReadExitRecord(state_, container.id).ok()) << "it never ran";
  EXPECT_EQ(Replay().size(), 0u);
}

TEST_F(MonitorTest, NamesTheStepThatFailed) {
  StartMonitor();
  Container& container = MakeContainer();
  ContainerSpec spec = MakeSpec(container, {"sh"});
  spec.layers = {"layers/9"};
  const absl::Status missing = StartPlan(container, PlanOf(container, spec)).status();
  EXPECT_THAT(std::string(missing.message()),
              AllOf(HasSubstr("mount-overlay"), HasSubstr("layers/9"), HasSubstr("No such file")));

  LaunchPlan unknown;
  unknown.steps.push_back({.op = Op::kPrivateMounts});
  unknown.steps.push_back({.op = static_cast<Op>(200), .strings = {"x"}});
  const absl::Status status = StartPlan(MakeContainer(), unknown).status();
  EXPECT_EQ(status.message(), "unknown step (step-200 x): Function not implemented");
}

TEST_F(MonitorTest, RefusesAPlanWithoutAnExec) {
  StartMonitor();
  Container& container = MakeContainer();
  LaunchPlan plan;
  plan.steps.push_back({.op = Op::kNewSession});
  EXPECT_FALSE(StartPlan(container, plan).ok());
  EXPECT_EQ(Replay().size(), 0u);
}

TEST_F(MonitorTest, RefusesASecondContainerOfTheSameId) {
  StartMonitor();
  Container& container = StartSleeper();
  EXPECT_EQ(Start(container, "exit 0").status().code(), absl::StatusCode::kAlreadyExists);
}

TEST_F(MonitorTest, StopSendsTheSignalFirst) {
  StartMonitor();
  Container& container =
      StartSleeper("trap 'exit 3' TERM; sleep() { while :; do busybox usleep 1000; done; }");
  ASSERT_TRUE(client_->Stop(container.id, SIGTERM, absl::Hours(1)).ok());
  EXPECT_EQ(AwaitExit(container.id).exit_code, 3);
}

TEST_F(MonitorTest, StopKillsAtItsDeadline) {
  StartMonitor();
  Container& container =
      StartSleeper();  // ignores SIGTERM, as the first process of a namespace does
  ASSERT_TRUE(client_->Stop(container.id, SIGTERM, absl::Milliseconds(20)).ok());
  const WatchEvent event = AwaitExit(container.id);
  EXPECT_EQ(event.exit_code, 128 + SIGKILL);
  EXPECT_FALSE(event.oom);
}

TEST_F(MonitorTest, StopWithoutATimeoutKillsAtOnce) {
  StartMonitor();
  for (const absl::Duration timeout : {absl::ZeroDuration(), absl::Seconds(-5)}) {
    Container& container = StartSleeper("trap : TERM");
    ASSERT_TRUE(client_->Stop(container.id, SIGTERM, timeout).ok());
    EXPECT_EQ(AwaitExit(container.id).exit_code, 128 + SIGKILL);
  }
}

TEST_F(MonitorTest, ALaterStopCanOnlyShortenTheDeadline) {
  StartMonitor();
  Container& container = StartSleeper();
  ASSERT_TRUE(client_->Stop(container.id, SIGTERM, absl::Hours(1000000)).ok());
  ASSERT_TRUE(client_->Stop(container.id, SIGTERM, absl::Milliseconds(50)).ok());
  ASSERT_TRUE(client_->Stop(container.id, SIGTERM, absl::Hours(1)).ok());
  EXPECT_EQ(AwaitExit(container.id).exit_code, 128 + SIGKILL);
}

TEST_F(MonitorTest, StopOfWhatHasExitedIsDoneAndOfTheUnknownNotFound) {
  StartMonitor();
  Container& container = MakeContainer();
  ASSERT_TRUE(Start(container, "exit 0").ok());
  AwaitExit(container.id);
  EXPECT_TRUE(client_->Stop(container.id, SIGTERM, absl::Seconds(1)).ok());
  EXPECT_EQ(client_->Stop(NewId(), SIGTERM, absl::Seconds(1)).code(), absl::StatusCode::kNotFound);
}

TEST_F(MonitorTest, AWatchTellsFirstWhatIsThere) {
  StartMonitor();
  Container& running = StartSleeper();
  Container& exited = MakeContainer();
  ASSERT_TRUE(Start(exited, "exit 5").ok());
  AwaitExit(exited.id);
  for (int round = 0; round < 2; ++round) {  // a daemon that was restarted asks again
    const std::map<std::string, WatchEvent> events = Replay();
    ASSERT_EQ(events.size(), 2u);
    EXPECT_TRUE(events.at(running.id).running);
    EXPECT_GT(events.at(running.id).pid, 0);
    EXPECT_FALSE(events.at(exited.id).running);
    EXPECT_EQ(events.at(exited.id).exit_code, 5);
  }
}

TEST_F(MonitorTest, ForgetsWhatHasExitedAndNothingElse) {
  StartMonitor();
  Container& running = StartSleeper();
  Container& exited = MakeContainer();
  ASSERT_TRUE(Start(exited, "exit 0").ok());
  AwaitExit(exited.id);
  EXPECT_TRUE(client_->Forget(exited.id).ok());
  EXPECT_TRUE(client_->Forget(exited.id).ok()) << "it is idempotent";
  EXPECT_EQ(ReadExitRecord(state_, exited.id).status().code(), absl::StatusCode::kNotFound);
  EXPECT_FALSE(client_->Forget(running.id).ok());
  const std::map<std::string, WatchEvent> events = Replay();
  EXPECT_EQ(events.size(), 1u);
  EXPECT_EQ(events.count(running.id), 1u);
}

TEST_F(MonitorTest, ForgettingAContainerEndsExecsThatCannotDie) {
  StartMonitor();
  Container& container = MakeContainer();
  ASSERT_TRUE(
      Start(container, "while :; do sleep 1000; done", {.pid_mode = wire::PidMode::kNode}).ok());
  const LaunchPlan plan = BuildExecPlan({.args = {"sleep", "1000"}, .env = {"PATH=/bin"}});
  const absl::Time deadline = SteadyNow() + kPatience;
  absl::StatusOr<ExecSyncResult> result;
  std::thread waiting([&] {
    result = client_->ExecSync({.container_id = container.id, .plan = &plan, .cancelled = [&] {
                                  return SteadyNow() >= deadline;
                                }});
  });
  while (BusyLeaves(container) == 0 && SteadyNow() < deadline) sched_yield();
  pid_t pid = 0;
  EXPECT_TRUE(absl::SimpleAtoi(Children().back(), &pid));
  // Stopped at its end until this thread lets it go on.
  EXPECT_EQ(ptrace(PTRACE_SEIZE, pid, nullptr, PTRACE_O_TRACEEXIT), 0);
  EXPECT_TRUE(client_->Stop(container.id, SIGKILL, absl::ZeroDuration()).ok());
  AwaitExit(container.id);
  EXPECT_EQ(BusyLeaves(container), 1u);
  EXPECT_TRUE(client_->Forget(container.id).ok());
  waiting.join();
  EXPECT_EQ(waitpid(pid, nullptr, __WALL), pid);
  EXPECT_EQ(ptrace(PTRACE_DETACH, pid, nullptr, nullptr), 0);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->exit_code, 137);
}

TEST_F(MonitorTest, ReopenWritesNoByteToTheOldLogAnyMore) {
  StartMonitor();
  Container& container = MakeContainer();
  Pipe first, second;
  ASSERT_TRUE(Start(container,
                    "trap 'echo after' USR1; echo ready; while :; do busybox usleep 1000; done",
                    {.log = first.write.get()})
                  .ok());
  first.write.reset();
  EXPECT_THAT(first.Await("ready"), HasSubstr("ready"));
  ASSERT_TRUE(client_->ReopenLog(container.id, second.write).ok());
  EXPECT_EQ(first.Await("\xff"), "") << "the old log is closed";
  ASSERT_TRUE(Exec(container, "kill -USR1 1").ok());
  EXPECT_THAT(second.Await("after"), HasSubstr("stdout F after"));
}

TEST_F(MonitorTest, AFloodGathersInALargerPipeAndNoLineIsLostOrHeldBack) {
  StartMonitor();
  Container& container = MakeContainer();
  Pipe log;
  const auto pid = Start(container,
                         "trap 'flood=' USR1; flood=yes; i=0; "
                         "while [ $flood ]; do i=$((i + 1)); echo line $i; done; "
                         "busybox usleep 100000; echo quiet; exec busybox sleep 1000",
                         {.log = log.write.get()});
  ASSERT_TRUE(pid.ok()) << pid.status();
  log.write.reset();
  const UniqueFd output(
      open(absl::StrCat("/proc/", *pid, "/fd/1").c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC));
  std::thread ends_the_flood([&] {
    const absl::Time deadline = SteadyNow() + kPatience;
    while (fcntl(output.get(), F_GETPIPE_SZ) != 512 << 10 && SteadyNow() < deadline) sched_yield();
    EXPECT_EQ(fcntl(output.get(), F_GETPIPE_SZ), 512 << 10);
    EXPECT_EQ(kill(*pid, SIGUSR1), 0);
  });
  int line = 0;
  bool quiet = false;
  for (absl::string_view record : absl::StrSplit(log.Await("quiet\n"), '\n', absl::SkipEmpty())) {
    EXPECT_FALSE(quiet) << record;
    const size_t content = record.find(" F ");
    quiet = content != record.npos && record.substr(content + 3) == "quiet";
    if (quiet) continue;
    if (content == record.npos || record.substr(content + 3) != absl::StrCat("line ", ++line)) {
      ADD_FAILURE() << "after line " << line << ": " << record;
      break;
    }
  }
  EXPECT_TRUE(quiet);
  ends_the_flood.join();
}

TEST_F(MonitorTest, AKilledMonitorTakesItsContainersWithIt) {
  StartMonitor();
  Container& container = MakeContainer();
  const absl::StatusOr<pid_t> pid = Start(container, "sleep 500 & sleep 501");
  ASSERT_TRUE(pid.ok()) << pid.status();
  const UniqueFd process(syscall(SYS_pidfd_open, *pid, 0));
  ASSERT_TRUE(process.valid());
  EndMonitor();
  EXPECT_TRUE(HasEnded(process.get()));
  EXPECT_EQ(client_->Watch().status().code(), absl::StatusCode::kUnavailable);
}

TEST_F(MonitorTest, ShutdownKillsAllAndEnds) {
  StartMonitor();
  Container& container = MakeContainer();
  const absl::StatusOr<pid_t> pid =
      Start(container, "trap : TERM; while :; do busybox usleep 1000; done");
  ASSERT_TRUE(pid.ok()) << pid.status();
  const UniqueFd process(syscall(SYS_pidfd_open, *pid, 0));
  ASSERT_TRUE(client_->Shutdown().ok());
  EXPECT_TRUE(HasEnded(process.get()));
  EXPECT_TRUE(HasEnded(monitor_.pidfd.get()));
}

TEST_F(MonitorTest, ReapsOrphansThatFallToIt) {
  StartMonitor();
  Container& container = MakeContainer();
  Pipe log;
  ASSERT_TRUE(Start(container, "sleep 500 & echo $!; exit 0",
                    {.pid_mode = wire::PidMode::kNode, .log = log.write.get()})
                  .ok());
  AwaitExit(container.id);
  log.write.reset();
  const std::string line = log.Await("\n");
  pid_t orphan = 0;
  ASSERT_TRUE(absl::SimpleAtoi(line.substr(line.rfind(' ') + 1, line.size() - line.rfind(' ') - 2),
                               &orphan))
      << line;
  // It was killed with its cgroup: gone, or ending now.
  const UniqueFd process(syscall(SYS_pidfd_open, orphan, 0));
  EXPECT_TRUE(!process.valid() || HasEnded(process.get()));
  OpenFds();  // a round trip: the signal of its end came before
  EXPECT_THAT(Children(), IsEmpty());
}

TEST_F(MonitorTest, LeaksNothingOverFailedStarts) {
  StartMonitor();
  const size_t before = OpenFds();
  for (int i = 0; i < 20; ++i) {
    Container& container = MakeContainer();
    EXPECT_FALSE(StartPlan(container, PlanOf(container, MakeSpec(container, {"nope"}))).ok());
  }
  EXPECT_EQ(Replay().size(), 0u);
  EXPECT_EQ(OpenFds(), before);
  EXPECT_THAT(Children(), IsEmpty());
}

TEST_F(MonitorTest, ContainersOfAPodPidNamespaceSeeEachOther) {
  StartMonitor({.network = NamespaceMode::kNode, .pid = NamespaceMode::kPod});
  Container& first = MakeContainer();
  ASSERT_TRUE(Start(first, "sleep 577", {.pid_mode = wire::PidMode::kPod}).ok());
  Container& second = MakeContainer();
  Pipe log;
  ASSERT_TRUE(Start(second, "busybox ps -o args; cat /proc/1/comm; ls /proc/1/root/ 2>&1",
                    {.pid_mode = wire::PidMode::kPod, .log = log.write.get()})
                  .ok());
  AwaitExit(second.id);
  log.write.reset();
  const std::string text = log.Await("\xff");
  EXPECT_THAT(text, AllOf(HasSubstr("sleep 577"), HasSubstr("berth-init")));
  EXPECT_THAT(text, Not(HasSubstr(" data"))) << "nothing of the node behind the pod's init";
}

}  // namespace
}  // namespace berth
