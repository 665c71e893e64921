// Cgroups against the kernel, below a cgroup of the test's own.
#include "src/kernel/cgroup.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sched.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <set>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "src/base/steady_time.h"
#include "src/kernel/file.h"
#include "src/kernel/process.h"
#include "src/kernel/testing/cgroup_test_fixture.h"
#include "src/kernel/testing/without_cgroup2.h"

namespace berth {
namespace {

using ::testing::AnyOf;
using ::testing::HasSubstr;

TEST_F(CgroupTest, IsMadeInEachHierarchy) {
  EXPECT_EQ(handle_.tasks.size(), cgroups_->V1Hierarchies().size());
  EXPECT_EQ(handle_.unified, cgroups_->mode() != Cgroups::Mode::kV1);
  EXPECT_TRUE(handle_.memory.valid());
  for (const std::string& directory : Directories())
    EXPECT_TRUE(absl::EndsWith(directory, path_)) << directory;
}

TEST_F(CgroupTest, MakingItAgainChangesNothing) {
  ASSERT_TRUE(cgroups_->SetLimits(path_, {.pids = 77}).ok());
  EXPECT_TRUE(cgroups_->Create(path_).ok());
  EXPECT_EQ(Value("pids.max"), "77");
}

TEST_F(CgroupTest, HasTheControllersOfCgroup2HoweverFarBelow) {
  if (cgroups_->mode() == Cgroups::Mode::kV1) GTEST_SKIP() << "needs cgroup v2";
  const std::string below = "/a/b/c/d";
  ASSERT_TRUE(cgroups_->Create(path_ + below).ok());
  for (const std::string& directory : Directories()) {
    const auto own = ReadFileAt(AT_FDCWD, directory + "/cgroup.controllers");
    if (!own.ok()) continue;  // a v1 hierarchy
    EXPECT_NE(*own, "\n");
    EXPECT_EQ(ReadFileAt(AT_FDCWD, directory + below + "/cgroup.controllers").value_or("none"),
              *own);
  }
}

TEST_F(CgroupTest, ANewOneIsRefusedWhereAPartOfItIsLeft) {
  const std::string path = path_ + "/new";
  ASSERT_TRUE(cgroups_->CreateNew(path).ok());
  EXPECT_TRUE(absl::IsAlreadyExists(cgroups_->CreateNew(path)));
  ASSERT_TRUE(cgroups_->Remove(path).ok());
  ASSERT_TRUE(cgroups_->CreateTracking(path).ok());
  EXPECT_TRUE(absl::IsAlreadyExists(cgroups_->CreateNew(path)));
}

TEST_F(CgroupTest, AMonitorRunsBesideTheContainersOfItsPod) {
  const std::string pod = root_ + "/monitored";
  absl::StatusOr<CgroupHandle> cgroup = cgroups_->CreateForMonitor(pod);
  ASSERT_TRUE(cgroup.ok()) << cgroup.status();
  handle_ = *std::move(cgroup);
  ASSERT_NE(Start("exec sleep 1000"), nullptr);
  const std::string where =
      ReadFileAt(AT_FDCWD, absl::StrCat("/proc/", processes_[0].pid, "/cgroup")).value_or("");
  for (const absl::string_view line : absl::StrSplit(where, '\n', absl::SkipEmpty())) {
    // Beside v1 nothing is accounted in cgroup2.
    if (absl::StartsWith(line, "0::")) {
      EXPECT_EQ(absl::EndsWith(line, pod + "/monitor"), cgroups_->mode() == Cgroups::Mode::kV2)
          << line;
    }
    if (absl::StrContains(line, ":memory:") || absl::StrContains(line, "pids:")) {
      EXPECT_TRUE(absl::EndsWith(line, pod)) << line;
    }
  }
  const std::string container = pod + "/container";
  ASSERT_TRUE(cgroups_->Create(container).ok());
  ASSERT_TRUE(cgroups_->SetLimits(container, {.memory_bytes = 64 << 20, .pids = 7}).ok());
  handle_ = *cgroups_->Open(container);
  EXPECT_EQ(RunInside("exit 3"), 3);
  cgroups_->Kill(pod);
  EXPECT_EQ(End(processes_[0]), 128 + SIGKILL);
  processes_.clear();
  EXPECT_TRUE(Remove(pod).ok());
}

TEST_F(CgroupTest, RefusesPathsThatLeadElsewhere) {
  for (const char* path : {"", "/", "//", "relative", "/a/../b", "/..", "/a/./b"}) {
    EXPECT_EQ(cgroups_->Create(path).code(), absl::StatusCode::kInvalidArgument) << path;
    EXPECT_EQ(cgroups_->CreateForMonitor(path).status().code(), absl::StatusCode::kInvalidArgument)
        << path;
    EXPECT_EQ(cgroups_->CreateTracking(path).code(), absl::StatusCode::kInvalidArgument) << path;
    EXPECT_EQ(cgroups_->Remove(path).code(), absl::StatusCode::kInvalidArgument) << path;
  }
}

TEST_F(CgroupTest, HoldsTheProcessStartedInItInEveryHierarchy) {
  const SpawnedProcess* process = Start("exec sleep 1000");
  ASSERT_NE(process, nullptr);
  const absl::StatusOr<std::string> lines =
      ReadFileAt(AT_FDCWD, absl::StrCat("/proc/", process->pid, "/cgroup"));
  ASSERT_TRUE(lines.ok());
  size_t inside = 0;
  for (absl::string_view line : absl::StrSplit(*lines, '\n', absl::SkipEmpty())) {
    if (absl::EndsWith(line, path_)) ++inside;
  }
  EXPECT_EQ(inside, Directories().size()) << *lines;
}

// The write would wait for an RCU grace period and stall every fork of the node meanwhile.
TEST_F(CgroupTest, WritesNoPidToCgroupProcs) {
  const UniqueFd events(inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  std::set<int> procs, tasks;
  for (const std::string& directory : Directories()) {
    procs.insert(inotify_add_watch(events.get(), (directory + "/cgroup.procs").c_str(), IN_MODIFY));
    const int watch = inotify_add_watch(events.get(), (directory + "/tasks").c_str(), IN_MODIFY);
    if (watch >= 0) tasks.insert(watch);
  }
  ASSERT_EQ(procs.count(-1), 0u);
  EXPECT_EQ(RunInside("true"), 0);
  ASSERT_TRUE(cgroups_->SetLimits(path_, {.memory_bytes = 64 << 20, .pids = 9}).ok());
  Start("exec sleep 1000");
  cgroups_->Kill(path_);
  size_t procs_writes = 0, tasks_writes = 0;
  alignas(inotify_event) char buffer[64 << 10];
  for (ssize_t n; (n = read(events.get(), buffer, sizeof(buffer))) > 0;) {
    for (char* at = buffer; at < buffer + n;) {
      const auto* event = reinterpret_cast<const inotify_event*>(at);
      procs_writes += procs.count(event->wd);
      tasks_writes += tasks.count(event->wd);
      at += sizeof(*event) + event->len;
    }
  }
  EXPECT_EQ(procs_writes, 0u);
  EXPECT_EQ(tasks_writes == 0, tasks.empty()) << "such writes are seen at all";
}

TEST_F(CgroupTest, LimitsAreWrittenAndReadBack) {
  const CgroupLimits limits = {.memory_bytes = 64 << 20,
                               .cpu_shares = 2048,
                               .cpu_quota_us = 50000,
                               .cpu_period_us = 200000,
                               .pids = 33,
                               .cpuset_cpus = "0"};
  if (v2()) {
    CgroupLimits without = limits;
    if (!cgroups_->HasController("cpuset")) without.cpuset_cpus.clear();
    ASSERT_TRUE(cgroups_->SetLimits(path_, without).ok());
    EXPECT_EQ(Value("memory.max"), "67108864");
    EXPECT_EQ(Value("cpu.weight"), absl::StrCat(CpuWeightFromShares(2048)));
    EXPECT_EQ(Value("cpu.max"), "50000 200000");
  } else {
    ASSERT_TRUE(cgroups_->SetLimits(path_, limits).ok());
    EXPECT_EQ(Value("memory.limit_in_bytes"), "67108864");
    EXPECT_EQ(Value("cpu.shares"), "2048");
    EXPECT_EQ(Value("cpu.cfs_quota_us"), "50000");
    EXPECT_EQ(Value("cpu.cfs_period_us"), "200000");
    EXPECT_EQ(Value("cpuset.cpus"), "0");
  }
  EXPECT_EQ(Value("pids.max"), "33");
  const absl::StatusOr<CgroupUsage> usage = Read(path_);
  ASSERT_TRUE(usage.ok()) << usage.status();
  EXPECT_EQ(usage->memory_limit, uint64_t{64} << 20);
}

TEST_F(CgroupTest, NoLimitIsToldAsNone) {
  const absl::StatusOr<CgroupUsage> usage = Read(path_);
  ASSERT_TRUE(usage.ok()) << usage.status();
  EXPECT_EQ(usage->memory_limit, std::nullopt);
  EXPECT_EQ(usage->pids, 0u);
}

TEST_F(CgroupTest, ReadsWhatItsProcessesUse) {
  ASSERT_EQ(RunInside("i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done"), 0);
  ASSERT_NE(Start("exec sleep 1000"), nullptr);
  const absl::StatusOr<CgroupUsage> usage = Read(path_);
  ASSERT_TRUE(usage.ok()) << usage.status();
  EXPECT_GT(usage->cpu_ns, 0u);
  EXPECT_GT(usage->memory_bytes, 0u);
  EXPECT_EQ(usage->pids, 1u);
  // The kernel tells few of them up to two seconds late (flush_memcg_stats_dwork, mm/memcontrol.c).
  const absl::Time deadline = SteadyNow() + absl::Seconds(20);
  while (Read(path_)->page_faults == 0 && SteadyNow() < deadline)
    absl::SleepFor(absl::Milliseconds(10));
  EXPECT_GT(Read(path_)->page_faults, 0u);
  EXPECT_EQ(Read(path_ + "/nope").status().code(), absl::StatusCode::kNotFound);
}

// Memory with swap may never be below memory alone: each way needs its own order of the two writes.
TEST_F(CgroupTest, MemoryIsRaisedAndLowered) {
  for (const int64_t mib : {64, 256, 32, 512, 16}) {
    ASSERT_TRUE(cgroups_->SetLimits(path_, {.memory_bytes = mib << 20}).ok()) << mib;
    const std::string bytes = absl::StrCat(mib << 20);
    EXPECT_EQ(Value(v2() ? "memory.max" : "memory.limit_in_bytes"), bytes);
    const std::string swap = Value(v2() ? "memory.swap.max" : "memory.memsw.limit_in_bytes");
    EXPECT_THAT(swap, AnyOf("absent", v2() ? "0" : bytes));
  }
  for (const int64_t mib : {16, 128, 8}) {  // with swap of the same size on top
    ASSERT_TRUE(
        cgroups_->SetLimits(path_, {.memory_bytes = mib << 20, .memory_swap_bytes = mib << 21})
            .ok())
        << mib;
    EXPECT_EQ(Value(v2() ? "memory.max" : "memory.limit_in_bytes"), absl::StrCat(mib << 20));
    const std::string swap = Value(v2() ? "memory.swap.max" : "memory.memsw.limit_in_bytes");
    EXPECT_THAT(swap, AnyOf("absent", absl::StrCat(mib << (v2() ? 20 : 21))));
  }
  EXPECT_TRUE(cgroups_->SetLimits(path_, {.memory_bytes = 64 << 20, .memory_swap_bytes = -1}).ok());
}

TEST_F(CgroupTest, AnUnsetLimitIsLeftAsItIs) {
  ASSERT_TRUE(cgroups_->SetLimits(path_, {.memory_bytes = 64 << 20, .pids = 12}).ok());
  ASSERT_TRUE(cgroups_->SetLimits(path_, {.pids = -1}).ok());
  EXPECT_EQ(Value("pids.max"), "max");
  EXPECT_EQ(Value(v2() ? "memory.max" : "memory.limit_in_bytes"), "67108864");
}

TEST_F(CgroupTest, LimitsThatTheKernelRefusesAreErrors) {
  EXPECT_FALSE(cgroups_->SetLimits(path_, {.cpuset_cpus = "4096"}).ok());
  EXPECT_FALSE(cgroups_->SetLimits(path_, {.cpu_quota_us = 1}).ok());
  EXPECT_EQ(
      cgroups_->SetLimits(path_, {.memory_bytes = 64 << 20, .memory_swap_bytes = 1 << 20}).code(),
      absl::StatusCode::kInvalidArgument);
}

TEST_F(CgroupTest, UnifiedFilesAreForV2AndAreNamesOnly) {
  if (!v2()) {
    const absl::Status refused = cgroups_->SetLimits(path_, {.unified = {{"memory.high", "max"}}});
    EXPECT_EQ(refused.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(refused.message()), HasSubstr("resources.unified"));
    return;
  }
  EXPECT_TRUE(cgroups_->SetLimits(path_, {.unified = {{"memory.high", "33554432"}}}).ok());
  EXPECT_EQ(Value("memory.high"), "33554432");
  for (const char* file : {"../memory.high", "a/b", "..", "cgroup.procs", "cgroup.kill"}) {
    EXPECT_EQ(cgroups_->SetLimits(path_, {.unified = {{file, "1"}}}).code(),
              absl::StatusCode::kInvalidArgument)
        << file;
  }
}

TEST_F(CgroupTest, HugePagesAreLimitedWhereTheKernelCountsThem) {
  const absl::Status set = cgroups_->SetLimits(
      path_, {.hugepages = {{"2MB", 4 << 20}, {"1GB", 0}, {"3KB", 0}, {"5KB", 7}}});
  ASSERT_TRUE(set.ok()) << set << ": a size that the kernel has not is nothing to limit";
  for (const char* end : {".max", ".rsvd.max", ".limit_in_bytes", ".rsvd.limit_in_bytes"}) {
    EXPECT_THAT(Value(absl::StrCat("hugetlb.2MB", end)), AnyOf("4194304", "absent")) << end;
    EXPECT_THAT(Value(absl::StrCat("hugetlb.1GB", end)), AnyOf("0", "absent")) << end;
  }
  if (cgroups_->HasController("hugetlb")) {
    EXPECT_TRUE(Value("hugetlb.2MB.max") != "absent" ||
                Value("hugetlb.2MB.limit_in_bytes") != "absent");
  }
}

TEST_F(CgroupTest, OnlyTheUsualDevicesCanBeOpened) {
  std::string pattern = "/tmp/berth-devices-XXXXXX";
  ASSERT_NE(mkdtemp(pattern.data()), nullptr);
  const std::string node = pattern + "/node";
  // kmsg: any kernel has it, and reading it takes no hardware.
  ASSERT_EQ(mknod(node.c_str(), S_IFCHR | 0600, makedev(1, 11)), 0);
  const std::string open_it = "exec 3<" + node;
  if (RunInside(open_it) != 0) {
    std::filesystem::remove_all(pattern);
    GTEST_SKIP() << "no device can be opened in /tmp, or no /dev/kmsg on this kernel";
  }
  ASSERT_TRUE(cgroups_->RestrictDevices(path_).ok());
  EXPECT_NE(RunInside(open_it), 0);
  EXPECT_NE(RunInside("exec 3>" + node), 0);
  for (const char* usual : {"null", "zero", "full", "random", "urandom", "ptmx"}) {
    EXPECT_EQ(RunInside(absl::StrCat("exec 3</dev/", usual)), 0) << usual;
  }
  EXPECT_EQ(RunInside("mknod " + pattern + "/made c 1 11"), 0) << "making a node is harmless";
  EXPECT_EQ(RunInside("mknod " + pattern + "/disk b 7 0"), 0);
  EXPECT_NE(RunInside("exec 3<" + pattern + "/made"), 0);
  EXPECT_NE(RunInside("exec 3<" + pattern + "/disk"), 0);
  // And below it (on v2 a cgroup with children of its own takes no process any more).
  ASSERT_TRUE(cgroups_->Create(path_ + "/below").ok());
  absl::StatusOr<CgroupHandle> below = cgroups_->Open(path_ + "/below");
  ASSERT_TRUE(below.ok()) << below.status();
  std::swap(handle_, *below);
  EXPECT_EQ(RunInside("true"), 0);
  EXPECT_NE(RunInside(open_it), 0);
  std::swap(handle_, *below);
  std::filesystem::remove_all(pattern);
}

TEST_F(CgroupTest, KillEndsAllThatRunsInItAndBelow) {
  const SpawnedProcess* parent = Start("sleep 1000 & sleep 1000 & exec sleep 1000");
  ASSERT_NE(parent, nullptr);
  cgroups_->Kill(path_);
  EXPECT_EQ(End(*parent), 128 + SIGKILL);
  processes_.clear();
  EXPECT_TRUE(Remove(path_).ok()) << "none of its children is left";
}

// There is no cgroup.kill: each cgroup is killed by itself.
TEST_F(CgroupTest, KillEndsAllThatRunsBelowWithoutCgroup2Too) {
  const WithoutCgroup2 without;
  absl::StatusOr<Cgroups> v1 = Cgroups::Detect();
  if (!v1.ok()) GTEST_SKIP() << "this node has cgroup2 alone";
  const std::string below = path_ + "/of/its";
  ASSERT_TRUE(v1->Create(below).ok());
  absl::StatusOr<CgroupHandle> handle = v1->Open(below);
  ASSERT_TRUE(handle.ok()) << handle.status();
  std::swap(handle_, *handle);
  ASSERT_NE(Start("exec sleep 1000"), nullptr);
  std::swap(handle_, *handle);
  v1->Kill(path_);
  pollfd ended = {.fd = processes_[0].pidfd.get(), .events = POLLIN, .revents = 0};
  EXPECT_EQ(poll(&ended, 1, 20000), 1);
  v1->Kill(below);
}

TEST_F(CgroupTest, PathWithMoreSlashesStaysBelowTheHierarchy) {
  const std::string child = absl::StrCat("/", path_, "//child");
  ASSERT_TRUE(cgroups_->Create(child).ok());
  EXPECT_TRUE(cgroups_->Open(path_ + "/child").ok());
  EXPECT_NE(access(path_.c_str(), F_OK), 0);
  EXPECT_TRUE(cgroups_->Remove(child).ok());
  EXPECT_FALSE(cgroups_->Open(path_ + "/child").ok());
}

TEST_F(CgroupTest, HierarchyThatAnotherMountHidesIsNotThere) {
  const WithoutCgroup2 without;
  ASSERT_EQ(mount("tmpfs", "/sys/fs/cgroup", "tmpfs", 0, nullptr), 0);
  const absl::Status status = Cgroups::Detect().status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << status;
}

TEST_F(CgroupTest, IsNotRemovedWhileItIsPopulated) {
  ASSERT_NE(Start("exec sleep 1000"), nullptr);
  const absl::Status refused = cgroups_->Remove(path_);
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("rmdir "));
}

TEST_F(CgroupTest, I_33_IsRemovedWithAllBelowItAndOnceMore) {
  ASSERT_TRUE(cgroups_->Create(path_ + "/a/b").ok());
  EXPECT_TRUE(cgroups_->Remove(root_ + "/pod").ok());
  EXPECT_TRUE(cgroups_->Remove(root_ + "/pod").ok());
}

TEST_F(CgroupTest, ViewsAreTheCgroupInEachV1Hierarchy) {
  if (cgroups_->mode() == Cgroups::Mode::kV2) GTEST_SKIP() << "needs cgroup v1";
  const absl::StatusOr<std::vector<UniqueFd>> views = cgroups_->OpenViews(path_);
  ASSERT_TRUE(views.ok()) << views.status();
  ASSERT_EQ(views->size(), cgroups_->V1Hierarchies().size());
  for (size_t i = 0; i < views->size(); ++i) {
    struct stat view, directory;
    ASSERT_EQ(fstat((*views)[i].get(), &view), 0);
    ASSERT_EQ(stat(Directories()[i].c_str(), &directory), 0);
    EXPECT_EQ(view.st_dev, directory.st_dev);
    EXPECT_EQ(view.st_ino, directory.st_ino);
  }
  EXPECT_FALSE(cgroups_->OpenViews(root_ + "/nope").ok());
}

TEST_F(CgroupTest, WhatIsMadeBelowAV1CpusetOfOursIsFilled) {
  const std::string parents = Value("cpuset.cpus");
  if (cgroups_->mode() == Cgroups::Mode::kV2 || parents == "absent")
    GTEST_SKIP() << "needs the cpuset controller on cgroup v1";
  EXPECT_NE(parents, "");
  for (const std::string& directory : Directories()) {
    if (access((directory + "/cpuset.cpus").c_str(), F_OK) != 0) continue;
    const std::string below = directory + "/below";
    ASSERT_EQ(mkdir(below.c_str(), 0755), 0);
    EXPECT_EQ(ReadFileAt(AT_FDCWD, below + "/cpuset.cpus").value(), parents + "\n");
  }
}

TEST_F(CgroupTest, OpenOfWhatDoesNotExistIsAnError) {
  EXPECT_FALSE(cgroups_->Open(root_ + "/nope").ok());
}

}  // namespace
}  // namespace berth
