// For tests: the real berth-monitor, driven over its socket with small plans. A container's root is
// one layer with busybox in it; everything stands below a cgroup and a directory that the test
// makes and removes.
#pragma once

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

#include <algorithm>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "src/base/id.h"
#include "src/base/steady_time.h"
#include "src/kernel/cgroup.h"
#include "src/kernel/file.h"
#include "src/kernel/process.h"
#include "src/kernel/socket.h"
#include "src/runtime/capabilities.h"
#include "src/runtime/container_plan.h"
#include "src/runtime/monitor_client.h"
#include "src/runtime/node_namespace.h"
#include "src/runtime/standard_mounts.h"

namespace berth {

inline constexpr absl::Duration kPatience = absl::Seconds(20);  // for what takes milliseconds
inline constexpr size_t kOutput = 1 << 20;

inline bool HasLowerdirPlus() {
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

inline bool HasEnded(int pidfd) {
  pollfd wait = {.fd = pidfd, .events = POLLIN, .revents = 0};
  return poll(&wait, 1, 20000) == 1;
}

// The same in all sets that a process's first exec keeps.
inline CapabilitySets Caps(uint64_t mask) {
  return {.bounding = mask, .permitted = mask, .effective = mask};
}

struct StartOptions {
  wire::PidMode pid_mode = wire::PidMode::kNew;
  bool terminal = false;
  int log = -1;
  bool stdin_open = false, stdin_once = false;
  std::string target_id;
  std::vector<int> volumes;  // borrowed
  int user_namespace = -1;
  int host_mounts = -1;
  std::function<absl::StatusOr<StartRest>()> make_rest;
  std::function<absl::Status(pid_t)> run_hooks;
  std::function<absl::Status(pid_t, UniqueFd)> take_seccomp_listener;
  std::string pid_dir;  // with it the plan is a launcher's
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
    const absl::Time deadline = SteadyNow() + kPatience;
    while (SteadyNow() < deadline) {
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
    absl::StatusOr<CgroupHandle> cgroup = cgroups_->CreateForMonitor(cgroup_);
    ASSERT_TRUE(cgroup.ok()) << cgroup.status();
    SetUpMonitor(
        {.pod_id = "pod", .plan = &pod_plan_, .own_pid_namespace = spec.pid == NamespaceMode::kPod},
        *cgroup);
    absl::StatusOr<MonitorHello> hello = client_->AwaitGreeting(std::move(greeting_), pod_plan_);
    ASSERT_TRUE(hello.ok()) << hello.status();
    EXPECT_EQ(hello->pid, monitor_.pid);
    hello_ = *std::move(hello);
  }

  // `common`: what it carries out before it has its pod.
  void SetUpMonitor(PodStart start, const CgroupHandle& cgroup,
                    const LaunchPlan* common = nullptr) {
    start.cgroup = &cgroup;
    absl::StatusOr<ReadyMonitor> ready =
        ReadyMonitor::Start({.state_dir = root_ + "/ready",
                             .executable = executable_.get(),
                             .mount_namespace = mounts_.get(),
                             .cgroup_dir = cgroup.unified ? cgroup.directory.get() : -1,
                             .plan = common});
    ASSERT_TRUE(ready.ok()) << ready.status();
    absl::StatusOr<PodMonitor> monitor = client_->SetUp(*std::move(ready), start);
    ASSERT_TRUE(monitor.ok()) << monitor.status();
    monitor_ = std::move(monitor->process);
    greeting_ = std::move(monitor->greeting);
    watch_ = std::move(monitor->watch);
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
            .identity = {.caps = Caps(DefaultCapabilities())},
            .mounts = StandardMounts({.pod_dir = "pods/pod"}),
            .devices = StandardDevices(false)};
  }

  NodeFacts Facts() const {
    return {.overlay_by_fsopen = HasLowerdirPlus(),
            .cgroup_v2 = cgroups_->mode() == Cgroups::Mode::kV2,
            .unified = cgroups_->mode() == Cgroups::Mode::kHybrid,
            .v1_hierarchies = cgroups_->V1Hierarchies(),
            .data_dir = data_};
  }
  LaunchPlan PlanOf(const Container& container, const ContainerSpec& spec,
                    const StartOptions& options = {}) const {
    return BuildContainerPlan(spec, Facts(),
                              {.cgroup_tasks = static_cast<int>(container.handle.tasks.size()),
                               .volumes = static_cast<int>(options.volumes.size()),
                               .user_namespace = options.user_namespace >= 0,
                               .host_mounts = options.host_mounts >= 0});
  }

  absl::StatusOr<pid_t> StartPlan(Container& container, const LaunchPlan& plan,
                                  const StartOptions& options = {}) {
    std::vector<UniqueFd> volumes;
    for (const int fd : options.volumes) volumes.emplace_back(fcntl(fd, F_DUPFD_CLOEXEC, 3));
    return client_->Start(
        {.container_id = container.id,
         .plan = &plan,
         .cgroup = &container.handle,
         .make_rest = options.make_rest,
         .volumes = std::move(volumes),
         .pid_mode = options.pid_mode,
         .terminal = options.terminal,
         .stdin_open = options.stdin_open,
         .stdin_once = options.stdin_once,
         .target_id = options.target_id,
         .log = UniqueFd(options.log < 0 ? -1 : fcntl(options.log, F_DUPFD_CLOEXEC, 3)),
         .user_namespace = options.user_namespace,
         .host_mounts = options.host_mounts,
         .pid_dir = UniqueFd(options.pid_dir.empty() ? -1
                                                     : open(options.pid_dir.c_str(),
                                                            O_RDONLY | O_DIRECTORY | O_CLOEXEC)),
         .run_hooks = options.run_hooks,
         .take_seccomp_listener = options.take_seccomp_listener});
  }
  absl::StatusOr<pid_t> Start(Container& container, const std::string& script,
                              const StartOptions& options = {}) {
    ContainerSpec spec = MakeSpec(container, {"sh", "-c", script});
    spec.terminal = options.terminal;
    spec.stdin_open = options.stdin_open;
    return StartPlan(container, PlanOf(container, spec), options);
  }

  // What a container that is described by `spec` writes until it ends.
  std::string Run(Container& container, const ContainerSpec& spec, StartOptions options = {}) {
    return RunPlan(container, PlanOf(container, spec, options), options);
  }
  std::string RunPlan(Container& container, const LaunchPlan& plan, StartOptions options = {}) {
    Pipe log;
    options.log = log.write.get();
    const absl::StatusOr<pid_t> pid = StartPlan(container, plan, options);
    EXPECT_TRUE(pid.ok()) << pid.status();
    if (!pid.ok()) return "";
    AwaitExit(container.id);
    log.write.reset();
    std::string text;
    for (absl::string_view line : absl::StrSplit(log.Await("\xff"), '\n', absl::SkipEmpty())) {
      const std::vector<absl::string_view> fields = absl::StrSplit(line, absl::MaxSplits(' ', 3));
      if (fields.size() == 4) absl::StrAppend(&text, fields[3], "\n");
    }
    return text;
  }

  // A container that runs until it is killed; its shell is set up once this returns.
  Container& StartSleeper(const std::string& first = "") {
    Container& container = MakeContainer();
    Pipe log;
    const absl::StatusOr<pid_t> pid = Start(
        container, first + "\necho ready; while :; do sleep 1000; done", {.log = log.write.get()});
    EXPECT_TRUE(pid.ok()) << pid.status();
    EXPECT_THAT(log.Await("ready"), testing::HasSubstr("stdout F ready"));
    Pipe drop;
    EXPECT_TRUE(
        client_->ReopenLog(container.id, UniqueFd(open("/dev/null", O_WRONLY | O_CLOEXEC))).ok());
    return container;
  }

  // The next event of `watch`; nullopt at the end of what was there already.
  std::optional<WatchEvent> NextEvent(const UniqueFd& watch) {
    absl::StatusOr<Packet> packet = ReceivePacket(watch.get(), SteadyNow() + kPatience);
    EXPECT_TRUE(packet.ok()) << packet.status();
    if (!packet.ok()) return std::nullopt;
    absl::StatusOr<std::optional<WatchEvent>> event = ParseWatchEvent(packet->data);
    EXPECT_TRUE(event.ok()) << event.status();
    return event.ok() ? *event : std::nullopt;
  }
  WatchEvent AwaitExit(const std::string& id) {
    absl::StatusOr<UniqueFd> watch = client_->Watch();
    EXPECT_TRUE(watch.ok()) << watch.status();
    const absl::Time deadline = SteadyNow() + kPatience;
    while (watch.ok() && SteadyNow() < deadline) {
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
                                           .identity = {.caps = Caps(DefaultCapabilities())}});
    return client_->ExecSync({.container_id = container.id,
                              .plan = &plan,
                              .timeout = timeout,
                              .max_output_bytes = max_output});
  }

  absl::StatusOr<MonitorSession> ExecSession(const Container& container, const std::string& script,
                                             const ExecStreams& streams) {
    const LaunchPlan plan = BuildExecPlan({.args = {"sh", "-c", script},
                                           .env = {"PATH=/bin"},
                                           .identity = {.caps = Caps(DefaultCapabilities())},
                                           .streams = streams});
    return client_->StartExecSession(
        {.container_id = container.id, .plan = &plan, .streams = streams});
  }
  // How what a session is joined to has ended; fails the test if the monitor closes it without a
  // word.
  WatchEvent SessionExit(const MonitorSession& session) {
    return NextEvent(session.connection).value_or(WatchEvent{.exit_code = -1});
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
  // Those in which something runs.
  static size_t BusyLeaves(const Container& container) {
    const std::vector<std::string> leaves = Leaves(container);
    return static_cast<size_t>(
        std::count_if(leaves.begin(), leaves.end(), [&](const std::string& name) {
          const absl::StatusOr<std::string> processes =
              ReadFileAt(container.handle.directory.get(), name + "/cgroup.procs");
          return processes.ok() && !processes->empty();
        }));
  }
  // Waits until nothing of its execs is left but one empty cgroup, which is kept for the next.
  static bool AwaitExecsGone(const Container& container) {
    const absl::Time deadline = SteadyNow() + kPatience;
    while (SteadyNow() < deadline) {
      if (Leaves(container).size() <= 1 && BusyLeaves(container) == 0) return true;
      sched_yield();
    }
    return false;
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
  UniqueFd greeting_, watch_;  // of PodMonitor
  MonitorHello hello_;
  std::vector<std::unique_ptr<Container>> containers_;
};

}  // namespace berth
