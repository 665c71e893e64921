// A cgroup of a test's own, with processes in it, gone after the test.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
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

namespace berth {

class CgroupTest : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "needs root: makes cgroups";
    absl::StatusOr<Cgroups> detected = Cgroups::Detect();
    ASSERT_TRUE(detected.ok()) << detected.status();
    cgroups_ = *std::move(detected);
    root_ = absl::StrCat("/berth-cgroup-test-", getpid());
    path_ = root_ + "/pod/container";
    ASSERT_TRUE(cgroups_->Create(path_).ok());
    absl::StatusOr<CgroupHandle> handle = cgroups_->Open(path_);
    ASSERT_TRUE(handle.ok()) << handle.status();
    handle_ = *std::move(handle);
  }
  void TearDown() override {
    if (!cgroups_) return;
    cgroups_->Kill(path_);
    for (const SpawnedProcess& process : processes_) End(process);
    EXPECT_TRUE(Remove(root_).ok());
    for (const std::string& directory : Directories())
      EXPECT_NE(access(directory.c_str(), F_OK), 0) << directory;
  }

  static int End(const SpawnedProcess& process) {
    siginfo_t info = {};
    if (waitid(P_PIDFD, process.pidfd.get(), &info, WEXITED) != 0) return -1;
    return info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
  }
  // What was just reaped leaves its cgroup a moment later.
  absl::Status Remove(const std::string& path) {
    const absl::Time deadline = SteadyNow() + absl::Seconds(20);
    while (true) {
      const absl::Status removed = cgroups_->Remove(path);
      if (removed.ok() || SteadyNow() > deadline) return removed;
      sched_yield();
    }
  }

  SpawnRequest InCgroup(const std::string& script) const {
    SpawnRequest request{.path = "/bin/sh", .argv = {"sh", "-c", script}, .fds = {-1, -1, -1}};
    for (const UniqueFd& tasks : handle_.tasks) request.cgroup_tasks.push_back(tasks.get());
    if (handle_.unified) request.cgroup_dir = handle_.directory.get();
    return request;
  }
  const SpawnedProcess* Start(const std::string& script) {
    absl::StatusOr<SpawnedProcess> process = Spawn(InCgroup(script));
    EXPECT_TRUE(process.ok()) << process.status();
    if (!process.ok()) return nullptr;
    processes_.push_back(*std::move(process));
    return &processes_.back();
  }
  // The exit code of a script that runs in the cgroup.
  int RunInside(const std::string& script) const {
    absl::StatusOr<SpawnedProcess> process = Spawn(InCgroup(script));
    EXPECT_TRUE(process.ok()) << process.status();
    return process.ok() ? End(*process) : -1;
  }

  static std::string Target(int fd) {
    return std::filesystem::read_symlink(absl::StrCat("/proc/self/fd/", fd)).string();
  }
  // The cgroup's directory in each hierarchy.
  std::vector<std::string> Directories() const {
    std::vector<std::string> directories;
    for (const UniqueFd& tasks : handle_.tasks) {
      const std::string file = Target(tasks.get());
      directories.push_back(file.substr(0, file.rfind('/')));
    }
    if (handle_.unified) directories.push_back(Target(handle_.directory.get()));
    return directories;
  }
  // The content of the cgroup's file `name` in the hierarchy that has it; "absent" where none has.
  std::string Value(const std::string& name) const {
    for (const std::string& directory : Directories()) {
      const absl::StatusOr<std::string> text =
          ReadFileAt(AT_FDCWD, absl::StrCat(directory, "/", name));
      if (text.ok()) return std::string(absl::StripAsciiWhitespace(*text));
    }
    return "absent";
  }
  absl::StatusOr<CgroupUsage> Read(const std::string& path) const {
    return cgroups_->Reader(path, CgroupReader::Keep::kNothing).Read();
  }
  bool v2() const { return cgroups_->mode() == Cgroups::Mode::kV2; }

  std::optional<Cgroups> cgroups_;
  std::string root_, path_;
  CgroupHandle handle_;
  std::vector<SpawnedProcess> processes_;
};

}  // namespace berth
