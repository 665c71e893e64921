// SystemdScopes and Cgroups together below a real systemd (hack/systemd boots one).
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "src/base/steady_time.h"
#include "src/kernel/cgroup.h"
#include "src/kernel/file.h"
#include "src/kernel/process.h"
#include "src/kernel/systemd_scope.h"

namespace berth {
namespace {

using ::testing::AnyOf;
using ::testing::HasSubstr;

class SystemdScopeRootTest : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "needs root: makes scopes";
    if (access("/run/systemd/system", F_OK) != 0)
      GTEST_SKIP() << "systemd is not this machine's init (hack/systemd boots it)";
    absl::StatusOr<SystemdScopes> scopes = SystemdScopes::Connect();
    ASSERT_TRUE(scopes.ok()) << scopes.status();
    scopes_.emplace(*std::move(scopes));
    absl::StatusOr<Cgroups> cgroups = Cgroups::Detect();
    ASSERT_TRUE(cgroups.ok()) << cgroups.status();
    cgroups_.emplace(*std::move(cgroups));
    unit_ = absl::StrCat("berth-", getpid(), ".scope");
    path_ = ScopeCgroupPath(kSlice, unit_);
  }
  void TearDown() override {
    if (!cgroups_) return;
    while (!processes_.empty()) EndLast();
    EXPECT_TRUE(scopes_->Stop(unit_, Soon()).ok());
    for (const char* slice : {kSlice, "berthtest.slice"})
      EXPECT_TRUE(scopes_->Stop(slice, Soon()).ok()) << slice;
    EXPECT_FALSE(Exists());
  }

  static constexpr char kSlice[] = "berthtest-podx.slice";
  static absl::Time Soon() { return SteadyNow() + absl::Seconds(30); }

  // A process that sleeps until it is ended; where this one is, or in a cgroup.
  pid_t Park(const absl::StatusOr<CgroupHandle>& cgroup = CgroupHandle()) {
    EXPECT_TRUE(cgroup.ok()) << cgroup.status();
    if (!cgroup.ok()) return -1;
    SpawnRequest request = {.path = "/bin/sleep", .argv = {"sleep", "1000"}, .fds = {-1, -1, -1}};
    for (const UniqueFd& tasks : cgroup->tasks) request.cgroup_tasks.push_back(tasks.get());
    if (cgroup->unified) request.cgroup_dir = cgroup->directory.get();
    absl::StatusOr<SpawnedProcess> process = Spawn(request);
    EXPECT_TRUE(process.ok()) << process.status();
    if (!process.ok()) return -1;
    processes_.push_back(*std::move(process));
    return processes_.back().pid;
  }
  void End(size_t index) {
    kill(processes_[index].pid, SIGKILL);
    siginfo_t info;
    waitid(P_PIDFD, processes_[index].pidfd.get(), &info, WEXITED);
    processes_.erase(processes_.begin() + static_cast<std::ptrdiff_t>(index));
  }
  void EndLast() { End(processes_.size() - 1); }

  absl::Status Create(pid_t parked) {
    return scopes_->Create(
        {.unit = unit_, .slice = kSlice, .description = "pod of a test", .parked_pid = parked},
        Soon());
  }
  // The pod's way: scope, monitor, helper gone, container.
  void MakePod() {
    const absl::Status created = Create(Park());
    ASSERT_TRUE(created.ok()) << created;
    Park(cgroups_->CreateForMonitor(path_));
    End(0);
    const absl::Status container = cgroups_->Create(path_ + "/container");
    ASSERT_TRUE(container.ok()) << container;
    const absl::Status limited =
        cgroups_->SetLimits(path_ + "/container", {.memory_bytes = 64 << 20, .pids = 7});
    ASSERT_TRUE(limited.ok()) << limited;
    Park(cgroups_->Open(path_ + "/container"));
  }

  static std::string ProcessCgroups(pid_t pid) {
    return ReadFileAt(AT_FDCWD, absl::StrCat("/proc/", pid, "/cgroup")).value_or("");
  }
  bool Exists() const { return access(("/sys/fs/cgroup" + path_).c_str(), F_OK) == 0; }
  // True once systemd has taken the scope away.
  bool Vanishes() const {
    for (const absl::Time deadline = Soon(); Exists(); sched_yield())
      if (SteadyNow() > deadline) return false;
    return true;
  }
  // The output of systemctl.
  std::string Systemctl(std::vector<std::string> arguments) const {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) return "pipe failed";
    const UniqueFd reader(ends[0]);
    UniqueFd writer(ends[1]);
    arguments.insert(arguments.begin(), "systemctl");
    absl::StatusOr<SpawnedProcess> process = Spawn(
        {.path = "/bin/systemctl", .argv = arguments, .fds = {-1, writer.get(), writer.get()}});
    writer.reset();
    if (!process.ok()) return std::string(process.status().message());
    const std::string output = ReadFd(reader.get(), 1 << 20, "systemctl").value_or("unreadable");
    siginfo_t info;
    waitid(P_PIDFD, process->pidfd.get(), &info, WEXITED);
    return std::string(absl::StripAsciiWhitespace(output));
  }
  std::string Limit(const char* file) const {
    const absl::StatusOr<std::string> text =
        ReadFileAt(AT_FDCWD, absl::StrCat("/sys/fs/cgroup", path_, "/container/", file));
    return std::string(absl::StripAsciiWhitespace(text.value_or("absent")));
  }

  std::optional<SystemdScopes> scopes_;
  std::optional<Cgroups> cgroups_;
  std::string unit_, path_;
  std::vector<SpawnedProcess> processes_;
};

TEST_F(SystemdScopeRootTest, TheParkedProcessIsInTheScopeWhenCreateReturns) {
  const pid_t parked = Park();
  const absl::Status created = Create(parked);
  ASSERT_TRUE(created.ok()) << created;
  EXPECT_TRUE(Exists());
  EXPECT_THAT(ProcessCgroups(parked), HasSubstr(path_ + "\n"));
  EXPECT_EQ(Systemctl({"show", "-P", "Delegate", unit_}), "yes");
  EXPECT_EQ(Systemctl({"show", "-P", "TasksMax", unit_}), "infinity");
  EXPECT_EQ(Systemctl({"show", "-P", "ControlGroup", unit_}), path_);
  EXPECT_EQ(Systemctl({"show", "-P", "Slice", unit_}), kSlice);
}

TEST_F(SystemdScopeRootTest, APodLivesOnWithoutTheParkedProcess) {
  MakePod();
  EXPECT_THAT(ProcessCgroups(processes_.back().pid), HasSubstr(path_ + "/container\n"));
  EXPECT_EQ(Limit("memory.max"), "67108864");
  EXPECT_EQ(Limit("pids.max"), "7");
  EXPECT_EQ(Systemctl({"is-active", unit_}), "active");
}

// What would change limits that were written to a unit's own files.
TEST_F(SystemdScopeRootTest, ReloadLeavesTheDelegatedTreeAlone) {
  MakePod();
  ASSERT_TRUE(cgroups_->RestrictDevices(path_ + "/container").ok());
  EXPECT_EQ(Systemctl({"daemon-reload"}), "");
  EXPECT_EQ(Systemctl({"set-property", "--runtime", kSlice, "CPUWeight=55"}), "");
  EXPECT_EQ(Limit("memory.max"), "67108864");
  EXPECT_EQ(Limit("pids.max"), "7");
  EXPECT_THAT(ProcessCgroups(processes_.back().pid), HasSubstr(path_ + "/container\n"));
  EXPECT_EQ(Systemctl({"is-active", unit_}), "active");
  ASSERT_TRUE(cgroups_->Create(path_ + "/another").ok()) << "and goes on being ours";
  EXPECT_TRUE(cgroups_->SetLimits(path_ + "/another", {.memory_bytes = 32 << 20}).ok());
}

TEST_F(SystemdScopeRootTest, AScopeThatGetsEmptyGoesAndLeavesItsName) {
  MakePod();
  while (!processes_.empty()) EndLast();
  EXPECT_TRUE(Vanishes());
  const absl::Status again = Create(Park());
  EXPECT_TRUE(again.ok()) << again;
}

TEST_F(SystemdScopeRootTest, StopEndsWhatStillRuns) {
  MakePod();
  const absl::Status stopped = scopes_->Stop(unit_, Soon());
  EXPECT_TRUE(stopped.ok()) << stopped;
  EXPECT_FALSE(Exists());
  EXPECT_THAT(Systemctl({"show", "-P", "LoadState", unit_}), "not-found");
  for (const SpawnedProcess& process : processes_) {
    siginfo_t info;
    EXPECT_EQ(waitid(P_PIDFD, process.pidfd.get(), &info, WEXITED | WNOWAIT), 0);
    EXPECT_THAT(info.si_status, AnyOf(SIGTERM, SIGKILL));
  }
  EXPECT_TRUE(scopes_->Stop(unit_, Soon()).ok()) << "once more";
}

TEST_F(SystemdScopeRootTest, ANameInUseIsAnErrorAndHarmsNobody) {
  const pid_t first = Park();
  ASSERT_TRUE(Create(first).ok());
  EXPECT_EQ(Create(Park()).code(), absl::StatusCode::kAlreadyExists);
  EXPECT_THAT(ProcessCgroups(first), HasSubstr(path_));
  EXPECT_EQ(Systemctl({"is-active", unit_}), "active");
}

TEST_F(SystemdScopeRootTest, AProcessThatIsGoneIsAnError) {
  const pid_t parked = Park();
  EndLast();
  const absl::Status failed = Create(parked);
  EXPECT_FALSE(failed.ok());
  EXPECT_THAT(std::string(failed.message()), HasSubstr(unit_));
  EXPECT_TRUE(Vanishes());
}

}  // namespace
}  // namespace berth
