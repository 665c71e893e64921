// The real berth-monitor, driven over its socket with small plans. A container's root is one layer
// with busybox in it; everything stands below a cgroup and a directory that the test makes and
// removes.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "src/base/id.h"
#include "src/kernel/cgroup.h"
#include "src/kernel/file.h"
#include "src/kernel/process.h"
#include "src/kernel/socket.h"
#include "src/runtime/capabilities.h"
#include "src/runtime/container_plan.h"
#include "src/runtime/monitor_client.h"
#include "src/runtime/node_namespace.h"
#include "src/runtime/seccomp_profile.h"

namespace berth {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using wire::Op;

constexpr absl::Duration kPatience = absl::Seconds(20);  // for what takes milliseconds
constexpr size_t kOutput = 1 << 20;

bool HasLowerdirPlus() {
  utsname name;
  int major = 0, minor = 0;
  return uname(&name) == 0 && sscanf(name.release, "%d.%d", &major, &minor) == 2 &&
         (major > 6 || (major == 6 && minor >= 8));
}

struct Pipe {
  Pipe() {
    int ends[2];
    EXPECT_EQ(pipe2(ends, O_CLOEXEC), 0);
    read.reset(ends[0]);
    write.reset(ends[1]);
  }
  // Reads until `text` has come; what came, if it ends or takes too long.
  std::string Await(const std::string& text) {
    std::string all;
    char buffer[4096];
    pollfd wait = {.fd = read.get(), .events = POLLIN, .revents = 0};
    while (!absl::StrContains(all, text) && poll(&wait, 1, 20000) == 1) {
      const ssize_t n = ::read(read.get(), buffer, sizeof(buffer));
      if (n <= 0) break;
      all.append(buffer, n);
    }
    return all;
  }
  UniqueFd read, write;
};

bool HasEnded(int pidfd) {
  pollfd wait = {.fd = pidfd, .events = POLLIN, .revents = 0};
  return poll(&wait, 1, 20000) == 1;
}

struct StartOptions {
  wire::PidMode pid_mode = wire::PidMode::kNew;
  bool terminal = false;
  int log = -1;
};

class MonitorTest : public testing::Test {
 protected:
  struct Container {
    std::string id = NewId();
    std::string cgroup;
    CgroupHandle handle;
  };

  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "needs root: namespaces, mounts and cgroups";
    if (access("/bin/busybox", X_OK) != 0)
      GTEST_SKIP() << "needs /bin/busybox (Debian: busybox-static)";
    std::string pattern = "/tmp/berth-monitor-XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    root_ = pattern;
    data_ = root_ + "/data";
    state_ = root_ + "/state";
    std::filesystem::create_directories(data_ + "/layers/1/bin");
    std::filesystem::create_directories(state_);
    std::filesystem::copy_file("/bin/busybox", data_ + "/layers/1/bin/busybox");
    for (const char* applet :
         {"sh", "sleep", "cat", "echo", "kill", "dd", "ls", "id", "grep", "tty", "true", "stat"}) {
      std::filesystem::create_symlink("busybox", data_ + "/layers/1/bin/" + applet);
    }
    absl::StatusOr<UniqueFd> executable = SealedCopy(std::string(BERTH_BIN_DIR) + "/berth-monitor");
    ASSERT_TRUE(executable.ok()) << executable.status();
    executable_ = *std::move(executable);
    absl::StatusOr<UniqueFd> mounts = MakeNodeMountNamespace(executable_.get(), data_);
    ASSERT_TRUE(mounts.ok()) << mounts.status();
    mounts_ = *std::move(mounts);
    absl::StatusOr<Cgroups> cgroups = Cgroups::Detect();
    ASSERT_TRUE(cgroups.ok()) << cgroups.status();
    cgroups_ = std::make_unique<Cgroups>(*std::move(cgroups));
    cgroup_ = absl::StrCat("/berth-monitor-test-", getpid());
    client_ = std::make_unique<MonitorClient>(state_);
  }

  void TearDown() override {
    if (monitor_.pid > 0) EndMonitor();
    if (cgroups_ != nullptr && !cgroup_.empty()) {
      for (const auto& container : containers_) {
        cgroups_->Kill(container->cgroup);
        EXPECT_TRUE(RemoveCgroup(container->cgroup));
      }
      EXPECT_TRUE(RemoveCgroup(cgroup_));
    }
    mounts_.reset();
    if (!root_.empty()) std::filesystem::remove_all(root_);
  }

  // What was just killed leaves its cgroup a moment later than it ends.
  bool RemoveCgroup(const std::string& path) {
    const absl::Time deadline = absl::Now() + kPatience;
    while (absl::Now() < deadline) {
      const absl::Status removed = cgroups_->Remove(path);
      if (removed.ok()) return true;
      sched_yield();
    }
    return false;
  }

  void EndMonitor() {
    syscall(SYS_pidfd_send_signal, monitor_.pidfd.get(), SIGKILL, nullptr, 0);
    EXPECT_EQ(waitid(P_PIDFD, monitor_.pidfd.get(), nullptr, WEXITED), 0);
    monitor_.pid = -1;
  }

  void StartMonitor(PodSpec spec = {.network = NamespaceMode::kNode}) {
    pod_plan_ = BuildPodPlan(spec, 0);
    ASSERT_TRUE(cgroups_->CreateAccounting(cgroup_ + "/monitor").ok());
    absl::StatusOr<CgroupHandle> cgroup = cgroups_->Open(cgroup_ + "/monitor");
    ASSERT_TRUE(cgroup.ok()) << cgroup.status();
    absl::StatusOr<SpawnedProcess> monitor =
        MonitorClient::Spawn({.executable = executable_.get(),
                              .pod_id = "pod",
                              .state_dir = state_,
                              .mount_namespace = mounts_.get(),
                              .pod_plan = &pod_plan_,
                              .pod_pid_namespace = spec.pid == NamespaceMode::kPod,
                              .cgroup = &*cgroup});
    ASSERT_TRUE(monitor.ok()) << monitor.status();
    monitor_ = *std::move(monitor);
    const absl::StatusOr<MonitorHello> hello = client_->Hello(pod_plan_);
    ASSERT_TRUE(hello.ok()) << hello.status();
    EXPECT_EQ(hello->pid, monitor_.pid);
  }

  Container& MakeContainer() {
    containers_.push_back(std::make_unique<Container>());
    Container& container = *containers_.back();
    container.cgroup = absl::StrCat(cgroup_, "/", container.id);
    EXPECT_TRUE(cgroups_->Create(container.cgroup).ok());
    absl::StatusOr<CgroupHandle> handle = cgroups_->Open(container.cgroup);
    EXPECT_TRUE(handle.ok()) << handle.status();
    if (handle.ok()) container.handle = *std::move(handle);
    const std::string directory = absl::StrCat(data_, "/containers/", container.id);
    std::filesystem::create_directories(directory + "/upper");
    std::filesystem::create_directories(directory + "/work");
    std::filesystem::create_directories(data_ + "/pods/pod");
    for (const char* file : {"hosts", "hostname", "resolv.conf"}) {
      EXPECT_TRUE(
          ReplaceFileAt(AT_FDCWD, absl::StrCat(data_, "/pods/pod/", file), "test\n", 0644).ok());
    }
    return container;
  }

  ContainerSpec MakeSpec(const Container& container, const std::vector<std::string>& args) const {
    const std::string directory = "containers/" + container.id;
    return {.layers = {"layers/1"},
            .upper = directory + "/upper",
            .work = directory + "/work",
            .pod_dir = "pods/pod",
            .args = args,
            .env = {"PATH=/bin"},
            .identity = {.capabilities = DefaultCapabilities()}};
  }

  LaunchPlan PlanOf(const Container& container, const ContainerSpec& spec) const {
    return BuildContainerPlan(spec,
                              {.overlay_by_fsopen = HasLowerdirPlus(),
                               .cgroup_v2 = cgroups_->mode() == Cgroups::Mode::kV2,
                               .unified = cgroups_->mode() == Cgroups::Mode::kHybrid,
                               .v1_hierarchies = cgroups_->V1Hierarchies()},
                              {.cgroup_tasks = static_cast<int>(container.handle.tasks.size())});
  }

  absl::StatusOr<pid_t> StartPlan(Container& container, const LaunchPlan& plan,
                                  const StartOptions& options = {}) {
    return client_->Start(
        {.container_id = container.id,
         .plan = &plan,
         .cgroup = &container.handle,
         .pid_mode = options.pid_mode,
         .terminal = options.terminal,
         .log = UniqueFd(options.log < 0 ? -1 : fcntl(options.log, F_DUPFD_CLOEXEC, 3))});
  }
  absl::StatusOr<pid_t> Start(Container& container, const std::string& script,
                              const StartOptions& options = {}) {
    ContainerSpec spec = MakeSpec(container, {"sh", "-c", script});
    spec.terminal = options.terminal;
    return StartPlan(container, PlanOf(container, spec), options);
  }

  // A container that runs until it is killed; its shell is set up once this returns.
  Container& StartSleeper(const std::string& first = "") {
    Container& container = MakeContainer();
    Pipe log;
    const absl::StatusOr<pid_t> pid = Start(
        container, first + "\necho ready; while :; do sleep 1000; done", {.log = log.write.get()});
    EXPECT_TRUE(pid.ok()) << pid.status();
    EXPECT_THAT(log.Await("ready"), HasSubstr("stdout F ready"));
    Pipe drop;
    EXPECT_TRUE(
        client_->ReopenLog(container.id, UniqueFd(open("/dev/null", O_WRONLY | O_CLOEXEC))).ok());
    return container;
  }

  // The next event of `watch`; nullopt at the end of what was there already.
  std::optional<WatchEvent> NextEvent(const UniqueFd& watch) {
    absl::StatusOr<Packet> packet = ReceivePacket(watch.get(), absl::Now() + kPatience);
    EXPECT_TRUE(packet.ok()) << packet.status();
    if (!packet.ok()) return std::nullopt;
    absl::StatusOr<std::optional<WatchEvent>> event = ParseWatchEvent(packet->data);
    EXPECT_TRUE(event.ok()) << event.status();
    return event.ok() ? *event : std::nullopt;
  }
  WatchEvent AwaitExit(const std::string& id) {
    absl::StatusOr<UniqueFd> watch = client_->Watch();
    EXPECT_TRUE(watch.ok()) << watch.status();
    const absl::Time deadline = absl::Now() + kPatience;
    while (watch.ok() && absl::Now() < deadline) {
      const std::optional<WatchEvent> event = NextEvent(*watch);
      if (event && event->container_id == id && !event->running) return *event;
    }
    ADD_FAILURE() << "no exit of " << id;
    return {};
  }
  std::map<std::string, WatchEvent> Replay() {
    std::map<std::string, WatchEvent> events;
    absl::StatusOr<UniqueFd> watch = client_->Watch();
    EXPECT_TRUE(watch.ok()) << watch.status();
    while (const std::optional<WatchEvent> event = NextEvent(*watch))
      events[event->container_id] = *event;
    return events;
  }

  absl::StatusOr<ExecSyncResult> Exec(const Container& container, const std::string& script,
                                      absl::Duration timeout = absl::ZeroDuration(),
                                      size_t max_output = kOutput) {
    const LaunchPlan plan = BuildExecPlan({.args = {"sh", "-c", script},
                                           .env = {"PATH=/bin"},
                                           .identity = {.capabilities = DefaultCapabilities()}},
                                          static_cast<int>(container.handle.tasks.size()));
    return client_->ExecSync({.container_id = container.id,
                              .plan = &plan,
                              .cgroup = &container.handle,
                              .timeout = timeout,
                              .max_output_bytes = max_output});
  }

  static std::vector<std::string> Leaves(const Container& container) {
    std::vector<std::string> leaves;
    const absl::StatusOr<std::vector<std::string>> names =
        ListDir(container.handle.directory.get(), ".");
    for (const std::string& name : names.value_or(std::vector<std::string>())) {
      if (absl::StartsWith(name, "exec-")) leaves.push_back(name);
    }
    return leaves;
  }
  // Waits until the last exec of the container has left no cgroup behind.
  static bool AwaitNoLeaf(const Container& container) {
    const UniqueFd events(inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
    const std::string path = absl::StrCat("/proc/self/fd/", container.handle.directory.get());
    if (inotify_add_watch(events.get(), path.c_str(), IN_DELETE) < 0)
      return Leaves(container).empty();
    while (!Leaves(container).empty()) {
      pollfd wait = {.fd = events.get(), .events = POLLIN, .revents = 0};
      if (poll(&wait, 1, 20000) != 1) return false;
      char buffer[4096];
      while (read(events.get(), buffer, sizeof(buffer)) > 0) {
      }
    }
    return true;
  }

  std::string ProcFile(const std::string& name) const {
    return ReadFileAt(AT_FDCWD, absl::StrCat("/proc/", monitor_.pid, "/", name)).value_or("");
  }
  std::vector<std::string> Children() const {
    return absl::StrSplit(ProcFile(absl::StrCat("task/", monitor_.pid, "/children")), ' ',
                          absl::SkipEmpty());
  }
  size_t OpenFds() {
    // What came before the watch is dealt with when the watch has been answered.
    absl::StatusOr<UniqueFd> watch = client_->Watch();
    while (NextEvent(*watch)) {
    }
    return ListDir(AT_FDCWD, absl::StrCat("/proc/", monitor_.pid, "/fd"))->size();
  }

  std::string root_, data_, state_, cgroup_;
  UniqueFd executable_, mounts_;
  std::unique_ptr<Cgroups> cgroups_;
  std::unique_ptr<MonitorClient> client_;
  LaunchPlan pod_plan_;
  SpawnedProcess monitor_;
  std::vector<std::unique_ptr<Container>> containers_;
};

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
  ASSERT_TRUE(cgroups_->CreateAccounting(cgroup_ + "/monitor").ok());
  const absl::StatusOr<CgroupHandle> cgroup = cgroups_->Open(cgroup_ + "/monitor");
  ASSERT_TRUE(cgroup.ok());
  LaunchPlan plan;
  plan.steps.push_back({.op = Op::kUnshare, .a = CLONE_NEWNS});
  plan.steps.push_back({.op = Op::kMount, .strings = {"nosuchfs", "/shm", ""}});
  absl::StatusOr<SpawnedProcess> monitor = MonitorClient::Spawn({.executable = executable_.get(),
                                                                 .pod_id = "pod",
                                                                 .state_dir = state_,
                                                                 .mount_namespace = mounts_.get(),
                                                                 .pod_plan = &plan,
                                                                 .cgroup = &*cgroup});
  ASSERT_TRUE(monitor.ok()) << monitor.status();
  monitor_ = *std::move(monitor);
  const absl::Status failed = client_->Hello(plan).status();
  EXPECT_EQ(failed.message(), "create mount (mount a=0x0 nosuchfs /shm ): No such device");
  EXPECT_TRUE(client_->Shutdown().ok()) << "a monitor without a pod can still be ended";
  EXPECT_TRUE(HasEnded(monitor_.pidfd.get()));
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
                   .capabilities = 1,
                   .no_new_privs = true,
                   .oom_score_adj = 500};
  absl::StatusOr<std::string> seccomp = CompileDefaultSeccompProfile(1);
  ASSERT_TRUE(seccomp.ok());
  spec.identity.seccomp = *seccomp;
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

TEST_F(MonitorTest, ExecGivesBothOutputsAndTheCode) {
  StartMonitor();
  Container& container = StartSleeper();
  const absl::StatusOr<ExecSyncResult> result = Exec(container, "echo out; echo err >&2; exit 9");
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->output, "out\n");
  EXPECT_EQ(result->error_output, "err\n");
  EXPECT_EQ(result->exit_code, 9);
  const absl::StatusOr<ExecSyncResult> killed = Exec(container, "kill -TERM $$");
  ASSERT_TRUE(killed.ok());
  EXPECT_EQ(killed->exit_code, 128 + SIGTERM);
}

TEST_F(MonitorTest, ExecRunsInsideOfTheContainersNamespaces) {
  StartMonitor();
  Container& container = StartSleeper("echo mine > /mine");
  const absl::StatusOr<ExecSyncResult> result =
      Exec(container, "cat /mine /proc/1/comm; cat /proc/self/cgroup");
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_THAT(result->output,
              AllOf(HasSubstr("mine\nsh\n"), HasSubstr("/exec-"), Not(HasSubstr(container.id))));
}

TEST_F(MonitorTest, ExecThatTimesOutIsKilledWithAllItStarted) {
  StartMonitor();
  Container& container = StartSleeper();
  const absl::StatusOr<ExecSyncResult> result = Exec(
      container, "busybox setsid sleep 500 & (sleep 501 &) ; sleep 502", absl::Milliseconds(200));
  EXPECT_EQ(result.status().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_TRUE(AwaitNoLeaf(container));  // a cgroup with a process in it cannot go
  const absl::StatusOr<ExecSyncResult> left = Exec(container, "busybox ps -o args");
  ASSERT_TRUE(left.ok());
  EXPECT_THAT(left->output, Not(HasSubstr("sleep 50")));
  EXPECT_FALSE(ReadExitRecord(state_, container.id).ok()) << "the container goes on";
}

TEST_F(MonitorTest, ExecDoesNotWaitForWhatItLeftRunning) {
  StartMonitor();
  Container& container = StartSleeper();
  const absl::StatusOr<ExecSyncResult> result = Exec(container, "sleep 500 & echo done");
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->output, "done\n");
  EXPECT_TRUE(AwaitNoLeaf(container)) << "and does not leave it behind";
}

TEST_F(MonitorTest, ExecKeepsNoMoreOutputThanAskedFor) {
  StartMonitor();
  Container& container = StartSleeper();
  const absl::StatusOr<ExecSyncResult> result =
      Exec(container, "dd if=/dev/zero bs=1024 count=4096 2>/dev/null; echo tail >&2",
           absl::ZeroDuration(), 1000);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->output.size() + result->error_output.size(), 1000u);
  EXPECT_EQ(result->exit_code, 0);
}

TEST_F(MonitorTest, ExecOfACallerThatIsGoneIsKilled) {
  StartMonitor();
  Container& container = StartSleeper();
  const LaunchPlan plan = BuildExecPlan({.args = {"sleep", "500"}, .env = {"PATH=/bin"}},
                                        static_cast<int>(container.handle.tasks.size()));
  const absl::StatusOr<ExecSyncResult> result =
      client_->ExecSync({.container_id = container.id,
                         .plan = &plan,
                         .cgroup = &container.handle,
                         .max_output_bytes = kOutput,
                         .cancelled = [] { return true; }});
  EXPECT_EQ(result.status().code(), absl::StatusCode::kCancelled);
  EXPECT_TRUE(AwaitNoLeaf(container));
}

TEST_F(MonitorTest, ExecNamesWhatItCannotRun) {
  StartMonitor();
  Container& container = StartSleeper();
  const LaunchPlan plan =
      BuildExecPlan({.args = {"nope"}}, static_cast<int>(container.handle.tasks.size()));
  const absl::Status failed =
      client_->ExecSync({.container_id = container.id, .plan = &plan, .cgroup = &container.handle})
          .status();
  EXPECT_EQ(failed.message(), "exec: \"nope\": executable file not found in $PATH");
  EXPECT_TRUE(AwaitNoLeaf(container));
  Container unknown;
  unknown.handle = *cgroups_->Open(container.cgroup);
  EXPECT_EQ(Exec(unknown, "true").status().code(), absl::StatusCode::kNotFound);
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

TEST_F(MonitorTest, LeaksNothingOverTwoHundredExecs) {
  StartMonitor();
  Container& container = StartSleeper();
  ASSERT_TRUE(Exec(container, "true").ok());
  ASSERT_TRUE(AwaitNoLeaf(container));
  const size_t before = OpenFds();
  for (int i = 0; i < 200; ++i) {
    const absl::StatusOr<ExecSyncResult> result = Exec(container, "exit 1");
    ASSERT_TRUE(result.ok()) << result.status();
    ASSERT_EQ(result->exit_code, 1);
  }
  EXPECT_TRUE(AwaitNoLeaf(container));
  EXPECT_EQ(OpenFds(), before);
  EXPECT_EQ(Children().size(), 1u) << "the container itself";
  // The budget of an idle pod, with room for a machine of other page sizes.
  const std::string rollup = ProcFile("smaps_rollup");
  int pss_kib = 0;
  ASSERT_EQ(sscanf(rollup.c_str() + rollup.find("Pss:"), "Pss: %d", &pss_kib), 1) << rollup;
  EXPECT_LE(pss_kib, 256);
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

// A message as bytes, for what MonitorClient never sends.
std::string RawMessage(uint32_t magic, uint16_t version, uint16_t type,
                       const std::string& payload) {
  const wire::Header header = {.magic = magic, .version = version, .type = type};
  return std::string(reinterpret_cast<const char*>(&header), sizeof(header)) + payload;
}

TEST_F(MonitorTest, HangsUpOnWhatIsNotItsProtocol) {
  StartMonitor();
  for (const std::string& message : {std::string("x"), RawMessage(1, wire::kProtocolVersion, 1, ""),
                                     RawMessage(wire::kProtocolMagic, 99, 1, ""),
                                     RawMessage(wire::kProtocolMagic, wire::kProtocolVersion, 1,
                                                std::string(wire::kMaxMessageBytes, 'x'))}) {
    const absl::StatusOr<UniqueFd> socket = ConnectUnix(state_ + "/monitor.sock", SOCK_SEQPACKET);
    ASSERT_TRUE(socket.ok());
    ASSERT_TRUE(SendPacket(socket->get(), message, {}).ok());
    EXPECT_EQ(ReceivePacket(socket->get(), absl::Now() + kPatience).status().code(),
              absl::StatusCode::kUnavailable);
  }
  EXPECT_TRUE(client_->Hello(pod_plan_).ok());
}

TEST_F(MonitorTest, AnswersAnErrorToMessagesOfTheWrongKindOrLength) {
  StartMonitor();
  const size_t before = OpenFds();
  for (int type = 0; type < 12; ++type) {
    // Watch, hello and shutdown have no payload to be wrong.
    for (const std::string& payload :
         {std::string(), std::string(1, '\0'), std::string(500, '\xff')}) {
      const auto known = static_cast<wire::Type>(type);
      if (known == wire::Type::kHello || known == wire::Type::kWatch ||
          known == wire::Type::kShutdown)
        continue;
      const absl::StatusOr<UniqueFd> socket = ConnectUnix(state_ + "/monitor.sock", SOCK_SEQPACKET);
      ASSERT_TRUE(socket.ok());
      ASSERT_TRUE(
          SendPacket(socket->get(),
                     RawMessage(wire::kProtocolMagic, wire::kProtocolVersion, type, payload),
                     {0, 1})
              .ok());
      const absl::StatusOr<Packet> answer = ReceivePacket(socket->get(), absl::Now() + kPatience);
      ASSERT_TRUE(answer.ok()) << type << " " << answer.status();
      wire::Header header;
      ASSERT_GE(answer->data.size(), sizeof(header));
      std::memcpy(&header, answer->data.data(), sizeof(header));
      EXPECT_EQ(header.type, static_cast<uint16_t>(wire::Type::kError)) << type;
    }
  }
  EXPECT_EQ(OpenFds(), before);
}

TEST_F(MonitorTest, RefusesDescriptorsThatDidNotCome) {
  StartMonitor();
  Container& container = MakeContainer();
  const absl::StatusOr<UniqueFd> plan = PlanFd(PlanOf(container, MakeSpec(container, {"true"})));
  ASSERT_TRUE(plan.ok());
  for (const int32_t index : {0, 1, 63, 64, 1 << 20, -2, -(1 << 20)}) {
    for (int field = 0; field < 3; ++field) {
      wire::StartRequest request = {};
      std::memcpy(request.container_id, container.id.data(), wire::kIdBytes);
      request.flags = wire::kCgroupIsUnified;
      request.cgroup_dir_fd = field == 0 ? index : -1;
      request.memory_dir_fd = field == 1 ? index : -1;
      request.log_fd = field == 2 ? index : -1;
      const absl::StatusOr<UniqueFd> socket = ConnectUnix(state_ + "/monitor.sock", SOCK_SEQPACKET);
      ASSERT_TRUE(socket.ok());
      const std::string payload(reinterpret_cast<const char*>(&request), sizeof(request));
      const auto type = static_cast<uint16_t>(wire::Type::kStart);
      ASSERT_TRUE(
          SendPacket(socket->get(),
                     RawMessage(wire::kProtocolMagic, wire::kProtocolVersion, type, payload),
                     {plan->get()})
              .ok());
      const absl::StatusOr<Packet> answer = ReceivePacket(socket->get(), absl::Now() + kPatience);
      ASSERT_TRUE(answer.ok()) << answer.status();
      wire::ErrorReply reply;
      ASSERT_EQ(answer->data.size(), sizeof(wire::Header) + sizeof(reply));
      std::memcpy(&reply, answer->data.data() + sizeof(wire::Header), sizeof(reply));
      EXPECT_STREQ(reply.call, "start request") << index << " field " << field;
      EXPECT_EQ(reply.error, EBADMSG);
    }
  }
}

}  // namespace
}  // namespace berth
