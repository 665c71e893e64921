#include "src/kernel/cgroup.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "src/base/status_macros.h"
#include "src/base/steady_time.h"
#include "src/kernel/file.h"

namespace berth {
namespace {

constexpr std::array kAccounting = {"memory", "cpu", "cpuacct", "pids"};
constexpr absl::Duration kRemoveInterval = absl::Milliseconds(1);

absl::Status CheckPath(const std::string& path) {
  if (path.empty() || path[0] != '/')
    return absl::InvalidArgumentError(absl::StrCat("cgroup ", path, ": not absolute"));
  bool below_root = false;
  for (absl::string_view part : absl::StrSplit(path, '/', absl::SkipEmpty())) {
    below_root = true;
    if (part == "." || part == "..") {
      return absl::InvalidArgumentError(
          absl::StrCat("cgroup ", path, ": \"", part, "\" is not allowed in it"));
    }
  }
  return below_root ? absl::OkStatus() : absl::InvalidArgumentError("cgroup /: is the node's own");
}

bool Has(const std::vector<std::string>& names, absl::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

bool Exists(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }

// A new v1 cpuset has no cpus and no mems and cannot be joined: it starts with its parent's. What
// is made below it then gets them from the kernel (cpuset_css_online, kernel/cgroup): each write of
// cpus rebuilds the scheduler's domains from all cpusets of the node.
absl::Status InheritCpuset(const std::string& directory) {
  const std::string parent = directory.substr(0, directory.rfind('/'));
  bool filled = false;
  for (const char* file : {"/cpuset.cpus", "/cpuset.mems"}) {
    ASSIGN_OR_RETURN(const std::string own, ReadFileAt(AT_FDCWD, directory + file));
    if (own.find_first_not_of(" \n") != std::string::npos) continue;
    // A parent that somebody died on before it was filled (the root always has all) is filled
    // first.
    ASSIGN_OR_RETURN(std::string inherited, ReadFileAt(AT_FDCWD, parent + file));
    if (inherited.find_first_not_of(" \n") == std::string::npos) {
      RETURN_IF_ERROR(InheritCpuset(parent));
      ASSIGN_OR_RETURN(inherited, ReadFileAt(AT_FDCWD, parent + file));
    }
    RETURN_IF_ERROR(WriteFileAt(AT_FDCWD, directory + file, absl::StripAsciiWhitespace(inherited)));
    filled = true;
  }
  return filled ? WriteFileAt(AT_FDCWD, directory + "/cgroup.clone_children", "1")
                : absl::OkStatus();
}

// Enables for the children of `directory` every controller that it has. One with processes of its
// own (the root of a container that we run in, a scope with its parked process) is left: domain
// controllers would be refused, and threaded ones (cpu, pids) would make its children unfit for
// processes. The node's root, which has no cgroup.type, may have both.
absl::Status EnableControllers(const std::string& directory) {
  ASSIGN_OR_RETURN(const std::string available,
                   ReadFileAt(AT_FDCWD, directory + "/cgroup.controllers"));
  ASSIGN_OR_RETURN(const std::string enabled,
                   ReadFileAt(AT_FDCWD, directory + "/cgroup.subtree_control"));
  const std::vector<std::string> have =
      absl::StrSplit(absl::StripAsciiWhitespace(enabled), ' ', absl::SkipEmpty());
  std::vector<std::string> missing =
      absl::StrSplit(absl::StripAsciiWhitespace(available), ' ', absl::SkipEmpty());
  std::erase_if(missing, [&](const std::string& name) { return Has(have, name); });
  if (missing.empty()) return absl::OkStatus();
  if (Exists(directory + "/cgroup.type")) {
    ASSIGN_OR_RETURN(const std::string procs, ReadFileAt(AT_FDCWD, directory + "/cgroup.procs"));
    if (!procs.empty()) return absl::OkStatus();
  }
  for (const std::string& name : missing) {
    const absl::Status written =
        WriteFileAt(AT_FDCWD, directory + "/cgroup.subtree_control", absl::StrCat("+", name));
    // A process came meanwhile: what the cgroup has must do.
    if (!written.ok() && !absl::StrContains(written.message(), "busy")) return written;
  }
  return absl::OkStatus();
}

void KillProcs(const std::string& directory) {
  for (int round = 0; round < 64; ++round) {
    const absl::StatusOr<std::string> procs = ReadFileAt(AT_FDCWD, directory + "/cgroup.procs");
    if (!procs.ok() || procs->empty()) return;
    for (absl::string_view line : absl::StrSplit(*procs, '\n', absl::SkipEmpty())) {
      pid_t pid;
      if (absl::SimpleAtoi(line, &pid) && pid > 0) ::kill(pid, SIGKILL);
    }
  }
}

void KillBelow(const std::string& directory) {
  KillProcs(directory);
  const absl::StatusOr<std::vector<std::string>> children = ListSubdirectories(AT_FDCWD, directory);
  if (!children.ok()) return;
  for (const std::string& child : *children) KillBelow(absl::StrCat(directory, "/", child));
}

absl::Status RemoveBelow(const std::string& directory) {
  if (::rmdir(directory.c_str()) == 0 || errno == ENOENT) return absl::OkStatus();
  ASSIGN_OR_RETURN(const std::vector<std::string> children,
                   ListSubdirectories(AT_FDCWD, directory));
  for (const std::string& child : children)
    RETURN_IF_ERROR(RemoveBelow(absl::StrCat(directory, "/", child)));
  if (::rmdir(directory.c_str()) == 0 || errno == ENOENT) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("rmdir ", directory, ": ", std::strerror(errno)));
}

}  // namespace

absl::Status Cgroups::CreateIn(const Hierarchy& hierarchy, const std::string& path,
                               Existing existing) const {
  const std::string directory = hierarchy.mount_point + path;
  const bool cpuset = !hierarchy.unified && Has(hierarchy.controllers, "cpuset");
  if (::mkdir(directory.c_str(), 0755) != 0) {
    if (errno == EEXIST && existing == Existing::kRefuse)
      return absl::AlreadyExistsError(absl::StrCat("mkdir ", directory, ": it is there already"));
    if (errno == EEXIST) return cpuset ? InheritCpuset(directory) : absl::OkStatus();
    if (errno != ENOENT) return ErrnoStatus("mkdir", directory);
    RETURN_IF_ERROR(CreateIn(hierarchy, path.substr(0, path.rfind('/'))));
    if (::mkdir(directory.c_str(), 0755) != 0 && errno != EEXIST)
      return ErrnoStatus("mkdir", directory);
  }
  if (cpuset) RETURN_IF_ERROR(InheritCpuset(directory));
  return hierarchy.unified ? GetControllers(hierarchy, path) : absl::OkStatus();
}

absl::Status Cgroups::GetControllers(const Hierarchy& hierarchy, const std::string& path) const {
  ASSIGN_OR_RETURN(const std::string text,
                   ReadFileAt(AT_FDCWD, hierarchy.mount_point + path + "/cgroup.controllers"));
  const std::vector<std::string> have =
      absl::StrSplit(absl::StripAsciiWhitespace(text), ' ', absl::SkipEmpty());
  if (std::all_of(hierarchy.controllers.begin(), hierarchy.controllers.end(),
                  [&](const std::string& name) { return Has(have, name); }))
    return absl::OkStatus();
  if (path.empty()) return absl::OkStatus();
  const std::string parent = path.substr(0, path.rfind('/'));
  RETURN_IF_ERROR(GetControllers(hierarchy, parent));
  return EnableControllers(hierarchy.mount_point + parent);
}

absl::Status Cgroups::CreateForChildren(const Hierarchy& hierarchy, const std::string& path) const {
  if (hierarchy.controllers.empty()) return CreateIn(hierarchy, path);
  const std::string directory = hierarchy.mount_point + path;
  // One that is new has no processes, and most parents hand on all that there is.
  const std::string all = absl::StrCat("+", absl::StrJoin(hierarchy.controllers, " +"));
  if (::mkdir(directory.c_str(), 0755) == 0 &&
      WriteFileAt(AT_FDCWD, directory + "/cgroup.subtree_control", all).ok())
    return absl::OkStatus();
  RETURN_IF_ERROR(CreateIn(hierarchy, path));
  return EnableControllers(directory);
}

absl::Status Cgroups::Create(const std::string& path) const {
  RETURN_IF_ERROR(CheckPath(path));
  for (const Hierarchy& hierarchy : hierarchies_) RETURN_IF_ERROR(CreateIn(hierarchy, path));
  return absl::OkStatus();
}

bool Cgroups::IsIn(Part part, const Hierarchy& hierarchy) {
  return part == Part::kAll || hierarchy.unified == (part == Part::kCgroup2);
}

absl::Status Cgroups::CreateNew(const std::string& path, Part part) const {
  RETURN_IF_ERROR(CheckPath(path));
  for (const Hierarchy& hierarchy : hierarchies_) {
    if (IsIn(part, hierarchy)) RETURN_IF_ERROR(CreateIn(hierarchy, path, Existing::kRefuse));
  }
  return absl::OkStatus();
}

bool Cgroups::CountsMonitors(const Hierarchy& hierarchy, const std::string& pod) const {
  if (hierarchy.unified && mode_ == Mode::kV2) return true;
  const bool systemds = hierarchy.unified || Has(hierarchy.controllers, "name=systemd");
  if (systemds && absl::EndsWith(pod, ".scope")) return true;
  return std::any_of(kAccounting.begin(), kAccounting.end(),
                     [&](const char* name) { return Has(hierarchy.controllers, name); });
}

bool Cgroups::ClonesMonitors(const std::string& pod) const {
  return std::any_of(hierarchies_.begin(), hierarchies_.end(), [&](const Hierarchy& hierarchy) {
    return hierarchy.unified && CountsMonitors(hierarchy, pod);
  });
}

absl::StatusOr<CgroupHandle> Cgroups::CreateForMonitor(const std::string& pod) const {
  RETURN_IF_ERROR(CheckPath(pod));
  CgroupHandle handle;
  for (const Hierarchy& hierarchy : hierarchies_) {
    if (!CountsMonitors(hierarchy, pod)) {
      // Controllers are handed on now: that takes the lock that stalls forks, and no start does.
      if (hierarchy.unified) RETURN_IF_ERROR(CreateForChildren(hierarchy, pod));
      continue;
    }
    const std::string path = hierarchy.unified ? pod + "/monitor" : pod;
    RETURN_IF_ERROR(CreateIn(hierarchy, path));
    if (hierarchy.unified) {
      ASSIGN_OR_RETURN(handle.directory, OpenDir(AT_FDCWD, hierarchy.mount_point + path));
      handle.unified = true;
    } else {
      ASSIGN_OR_RETURN(
          UniqueFd tasks,
          OpenFile(AT_FDCWD, absl::StrCat(hierarchy.mount_point, path, "/tasks"), O_WRONLY));
      handle.tasks.push_back(std::move(tasks));
    }
  }
  return handle;
}

absl::Status Cgroups::CreateTracking(const std::string& path) const {
  RETURN_IF_ERROR(CheckPath(path));
  for (const Hierarchy& hierarchy : hierarchies_) {
    if (hierarchy.unified) return CreateIn(hierarchy, path);
  }
  const Hierarchy* pids = Find("pids");
  return pids != nullptr ? CreateIn(*pids, path)
                         : absl::FailedPreconditionError("there is neither cgroup2 nor pids");
}

absl::StatusOr<CgroupHandle> Cgroups::Open(const std::string& path, Part part) const {
  CgroupHandle handle;
  for (const Hierarchy& hierarchy : hierarchies_) {
    if (!IsIn(part, hierarchy)) continue;
    const std::string directory = hierarchy.mount_point + path;
    if (hierarchy.unified) {
      ASSIGN_OR_RETURN(handle.directory, OpenDir(AT_FDCWD, directory));
      handle.unified = true;
    } else {
      absl::StatusOr<UniqueFd> tasks = OpenFile(AT_FDCWD, directory + "/tasks", O_WRONLY);
      if (tasks.ok()) {
        handle.tasks.push_back(*std::move(tasks));
      } else if (!absl::IsNotFound(tasks.status())) {
        return tasks.status();
      }
    }
  }
  if (part == Part::kCgroup2) return handle;
  if (!handle.directory.valid() && part == Part::kAll) {
    ASSIGN_OR_RETURN(handle.directory, OpenDir(AT_FDCWD, PathOf("pids", path)));
  }
  if (const std::string memory = PathOf("memory", path); !memory.empty()) {
    absl::StatusOr<UniqueFd> directory = OpenDir(AT_FDCWD, memory);
    if (!directory.ok() && !absl::IsNotFound(directory.status())) return directory.status();
    if (directory.ok()) handle.memory = *std::move(directory);
  }
  return handle;
}

absl::StatusOr<std::vector<UniqueFd>> Cgroups::OpenViews(const std::string& path) const {
  std::vector<UniqueFd> views;
  for (const Hierarchy& hierarchy : hierarchies_) {
    if (hierarchy.unified) continue;
    const std::string directory = hierarchy.mount_point + path;
    UniqueFd view(static_cast<int>(::syscall(SYS_open_tree, AT_FDCWD, directory.c_str(),
                                             OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC)));
    if (!view.valid()) return ErrnoStatus("open_tree", directory);
    views.push_back(std::move(view));
  }
  return views;
}

void Cgroups::Kill(const std::string& path) const {
  if (!CheckPath(path).ok()) return;  // never all of the node
  for (const Hierarchy& hierarchy : hierarchies_) {
    const std::string directory = hierarchy.mount_point + path;
    if (!hierarchy.unified || !WriteFileAt(AT_FDCWD, directory + "/cgroup.kill", "1").ok())
      continue;
    if (mode_ == Mode::kV2) return;  // else a monitor is in v1 hierarchies alone
  }
  for (const Hierarchy& hierarchy : hierarchies_) KillBelow(hierarchy.mount_point + path);
}

absl::Status Cgroups::Remove(const std::string& path) const {
  RETURN_IF_ERROR(CheckPath(path));
  absl::Status result;
  for (const Hierarchy& hierarchy : hierarchies_)
    result.Update(RemoveBelow(hierarchy.mount_point + path));
  return result;
}

absl::Status Cgroups::KillAndRemove(const std::string& path, absl::Duration patience) const {
  const absl::Time deadline = SteadyNow() + patience;
  Kill(path);
  absl::Status removed = Remove(path);
  while (!removed.ok() && SteadyNow() < deadline) {
    absl::SleepFor(kRemoveInterval);
    removed = Remove(path);
  }
  return removed;
}

}  // namespace berth
