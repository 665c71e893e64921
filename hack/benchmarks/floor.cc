#include "hack/benchmarks/floor.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <linux/sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "hack/benchmarks/floor_child.h"
#include "hack/benchmarks/process_table.h"
#include "src/base/status_macros.h"

namespace berth::bench {
namespace {

// Runs `entry` in this process's memory and on its stack, as vfork(2) does, while this thread is
// suspended; it ends by exec or _exit. clone3 is called in line: a library function would return
// twice through one frame.
absl::StatusOr<pid_t> CloneAndWait(void (*entry)(void*), void* task, uint64_t namespaces,
                                   int cgroup) {
  clone_args args = {};
  args.flags = CLONE_VM | CLONE_VFORK | namespaces;
  args.exit_signal = SIGCHLD;
  if (cgroup >= 0) {
    args.flags |= CLONE_INTO_CGROUP;
    args.cgroup = static_cast<uint64_t>(cgroup);
  }
#if defined(__x86_64__)
  long result = 0;
  asm volatile("syscall"
               : "=a"(result)
               : "a"(SYS_clone3), "D"(&args), "S"(sizeof(args))
               : "rcx", "r11", "memory");
  if (result == 0) entry(task);
  if (result < 0) return ErrnoStatus("clone3", "floor", static_cast<int>(-result));
  return static_cast<pid_t>(result);
#else
  return absl::UnimplementedError("clone3 floor: only written for x86-64");
#endif
}

absl::Status Reap(pid_t pid) {
  int status = 0;
  if (::waitpid(pid, &status, 0) != pid) return ErrnoStatus("waitpid", absl::StrCat(pid));
  return absl::OkStatus();
}

// How a child gets into its cgroups without the kernel's global lock: on v1 it writes 0 to `tasks`,
// on v2 it is cloned there.
struct CgroupFds {
  std::vector<UniqueFd> tasks;
  UniqueFd unified;
};

absl::StatusOr<CgroupFds> OpenCgroups(const std::vector<std::string>& cgroups) {
  CgroupFds fds;
  for (const std::string& cgroup : cgroups) {
    UniqueFd tasks(::open(absl::StrCat(cgroup, "/tasks").c_str(), O_WRONLY | O_CLOEXEC));
    if (tasks.valid()) {
      fds.tasks.push_back(std::move(tasks));
      continue;
    }
    fds.unified.reset(::open(cgroup.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!fds.unified.valid()) return ErrnoStatus("open", cgroup);
  }
  return fds;
}

template <typename Task>
void LendTasks(const CgroupFds& fds, Task& task) {
  for (const UniqueFd& fd : fds.tasks) task.cgroup_tasks[task.cgroups++] = fd.get();
}

// A new v1 cpuset takes no process until it has CPUs and memory nodes: those of its parent from the
// start.
void FillCpusetsBelow(const std::string& parent) {
  const std::string clone = absl::StrCat(parent, "/cgroup.clone_children");
  if (::access(clone.c_str(), W_OK) == 0) std::ofstream(clone) << "1";
}

// Such as the containers have that it is compared with (ContainerConfig, pod.h).
struct LimitOfController {
  const char *controller, *file;
  std::vector<std::string> values;
};
const LimitOfController kLimits[] = {
    {"memory", "/memory.limit_in_bytes", {"268435456"}},
    {"cpu", "/cpu.shares", {"100"}},
    {"devices", "/devices.deny", {"a"}},
    {"devices",
     "/devices.allow",
     {"c *:* m", "b *:* m", "c 1:3 rwm", "c 1:5 rwm", "c 1:7 rwm", "c 1:8 rwm", "c 1:9 rwm",
      "c 5:0 rwm", "c 5:2 rwm", "c 136:* rwm"}}};

absl::Status WriteAll(const std::string& path, const std::vector<std::string>& values) {
  const UniqueFd file(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  for (const std::string& value : values) {
    if (::write(file.get(), value.data(), value.size()) < 0) return ErrnoStatus("write", path);
  }
  return absl::OkStatus();
}

// So that ext4 does not step over all that was deleted lately (docs/adr/0011).
void SpreadOverBlockGroups(const std::string& path) {
  const UniqueFd directory(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  int flags = 0;
  if (::ioctl(directory.get(), FS_IOC_GETFLAGS, &flags) != 0) return;
  flags |= FS_TOPDIR_FL;
  ::ioctl(directory.get(), FS_IOC_SETFLAGS, &flags);
}

absl::Status MakeFile(const std::string& path) {
  const UniqueFd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
  return file.valid() ? absl::OkStatus() : ErrnoStatus("open", path);
}

}  // namespace

absl::StatusOr<Floor> Floor::Create(Options options) {
  Floor floor(std::move(options));
  SpreadOverBlockGroups(floor.options_.scratch);
  for (const absl::string_view line : absl::StrSplit(ReadText("/proc/self/mounts"), '\n')) {
    const std::vector<std::string> fields = absl::StrSplit(line, ' ');
    if (fields.size() < 4 || (fields[2] != "cgroup" && fields[2] != "cgroup2")) continue;
    Hierarchy hierarchy = {
        .parent = fields[1] + floor.options_.cgroup,
        .v1 = fields[2] == "cgroup",
        .target = absl::StrCat("sys/fs/cgroup/", fields[1].substr(fields[1].rfind('/') + 1))};
    const std::string controllers =
        hierarchy.v1 ? fields[3] : ReadText(fields[1] + "/cgroup.controllers");
    for (const absl::string_view option : absl::StrSplit(controllers, absl::ByAnyChar(", \n"))) {
      for (const char* controller : {"memory", "cpu", "cpuacct", "pids"})
        hierarchy.accounts = hierarchy.accounts || option == controller;
      for (const LimitOfController& limit : kLimits) {
        if (hierarchy.v1 && option == limit.controller)
          hierarchy.limits.push_back({.file = limit.file, .values = limit.values});
      }
    }
    FillCpusetsBelow(hierarchy.parent);
    floor.hierarchies_.push_back(std::move(hierarchy));
  }
  if (floor.hierarchies_.size() > static_cast<size_t>(kMaxCgroups)) {
    return absl::ResourceExhaustedError(
        absl::StrCat("create floor: more than ", kMaxCgroups, " cgroup hierarchies"));
  }
  for (const char* name : {"/hosts", "/hostname", "/resolv.conf"})
    RETURN_IF_ERROR(MakeFile(floor.options_.scratch + name));
  return floor;
}

absl::StatusOr<FloorContainer> Floor::Prepare(Kind kind) const {
  static std::atomic<int> prepared = 0;
  const bool pod = kind == Kind::kPod;
  const std::string name = absl::StrCat(pod ? "pod-" : "container-", prepared++);
  FloorContainer container = {.directory = absl::StrCat(options_.scratch, "/", name)};
  if (::mkdir(container.directory.c_str(), 0755) != 0)
    return ErrnoStatus("mkdir", container.directory);
  for (const Hierarchy& hierarchy : hierarchies_) {
    if (pod && !hierarchy.accounts) continue;
    const std::string cgroup = absl::StrCat(hierarchy.parent, "/", name);
    if (::mkdir(cgroup.c_str(), 0755) != 0) return ErrnoStatus("mkdir", cgroup);
    container.cgroups.push_back(cgroup);
    if (pod) continue;
    for (const Limit& limit : hierarchy.limits)
      RETURN_IF_ERROR(WriteAll(cgroup + limit.file, limit.values));
  }
  return container;
}

absl::StatusOr<FloorContainer> Floor::StartPodIn(uint64_t more_namespaces) const {
  ASSIGN_OR_RETURN(FloorContainer pod, Prepare(Kind::kPod));
  for (const char* name : {"/hosts", "/hostname", "/resolv.conf"})
    RETURN_IF_ERROR(MakeFile(pod.directory + name));
  const std::string shm = pod.directory + "/shm", program = options_.root + "/bin/sleep";
  if (::mkdir(shm.c_str(), 0755) != 0) return ErrnoStatus("mkdir", shm);
  ASSIGN_OR_RETURN(const CgroupFds cgroups, OpenCgroups(pod.cgroups));
  PodTask task = {.program = program.c_str(), .shm = shm.c_str()};
  LendTasks(cgroups, task);
  ASSIGN_OR_RETURN(
      pod.pid,
      CloneAndWait(RunPod, &task, CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS | more_namespaces,
                   cgroups.unified.get()));
  if (task.error == 0) return pod;
  RETURN_IF_ERROR(Remove(std::move(pod)));
  return ErrnoStatus("start", "pod", task.error);
}

absl::StatusOr<FloorContainer> Floor::Start() const {
  ASSIGN_OR_RETURN(FloorContainer container, Prepare(Kind::kContainer));
  const std::string upper = container.directory + "/upper", work = container.directory + "/work",
                    target = container.directory + "/root";
  for (const std::string& path : {upper, work, target}) {
    if (::mkdir(path.c_str(), 0755) != 0) return ErrnoStatus("mkdir", path);
  }
  RETURN_IF_ERROR(MakeFile(container.directory + "/log"));
  ASSIGN_OR_RETURN(const CgroupFds cgroups, OpenCgroups(container.cgroups));
  const std::string hosts = options_.scratch + "/hosts", hostname = options_.scratch + "/hostname",
                    resolv_conf = options_.scratch + "/resolv.conf";
  ContainerTask task = {.lower = options_.root.c_str(),
                        .upper = upper.c_str(),
                        .work = work.c_str(),
                        .target = target.c_str(),
                        .hosts = hosts.c_str(),
                        .hostname = hostname.c_str(),
                        .resolv_conf = resolv_conf.c_str()};
  for (size_t i = 0; i < hierarchies_.size(); ++i) {
    task.views[task.view_count++] = {
        .cgroup = hierarchies_[i].v1 ? container.cgroups[i].c_str() : nullptr,
        .target = hierarchies_[i].target.c_str()};
  }
  LendTasks(cgroups, task);
  ASSIGN_OR_RETURN(
      container.pid,
      CloneAndWait(RunContainer, &task, CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS,
                   cgroups.unified.get()));
  container.pidfd.reset(static_cast<int>(::syscall(SYS_pidfd_open, container.pid, 0)));
  if (task.error == 0) return container;
  RETURN_IF_ERROR(Remove(std::move(container)));
  return ErrnoStatus("start", "container", task.error);
}

absl::Status Floor::Remove(FloorContainer container) const {
  if (::kill(container.pid, SIGKILL) != 0) return ErrnoStatus("kill", absl::StrCat(container.pid));
  RETURN_IF_ERROR(Reap(container.pid));
  for (const std::string& cgroup : container.cgroups) {
    if (::rmdir(cgroup.c_str()) != 0) return ErrnoStatus("rmdir", cgroup);
  }
  std::error_code error;
  std::filesystem::remove_all(container.directory, error);
  return error ? ErrnoStatus("remove", container.directory, error.value()) : absl::OkStatus();
}

absl::Status Floor::Exec(const FloorContainer& container) const {
  ASSIGN_OR_RETURN(const CgroupFds cgroups, OpenCgroups(container.cgroups));
  ExecTask task = {.pidfd = container.pidfd.get()};
  LendTasks(cgroups, task);
  ASSIGN_OR_RETURN(const pid_t pid, CloneAndWait(RunExec, &task, 0, cgroups.unified.get()));
  RETURN_IF_ERROR(Reap(pid));
  return task.error == 0 ? absl::OkStatus() : ErrnoStatus("exec", "/bin/true", task.error);
}

}  // namespace berth::bench
