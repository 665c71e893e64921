#include "src/kernel/cgroup.h"

#include <fcntl.h>

#include <algorithm>
#include <array>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "src/base/status_macros.h"
#include "src/base/steady_time.h"

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

// A new v1 cpuset has no cpus and no mems and cannot be joined: it starts with its parent's. What
// is made below it then gets them from the kernel (cpuset_css_online, kernel/cgroup): each write of
// cpus rebuilds the scheduler's domains from all cpusets of the node.
absl::Status InheritCpuset(const CgroupHierarchy& hierarchy, const std::string& path) {
  const std::string parent = path.substr(0, path.rfind('/'));
  bool filled = false;
  for (const char* file : {"/cpuset.cpus", "/cpuset.mems"}) {
    ASSIGN_OR_RETURN(const std::string own, hierarchy.Read(path + file));
    if (own.find_first_not_of(" \n") != std::string::npos) continue;
    // A parent that somebody died on before it was filled (the root always has all) is filled
    // first.
    ASSIGN_OR_RETURN(std::string inherited, hierarchy.Read(parent + file));
    if (inherited.find_first_not_of(" \n") == std::string::npos) {
      RETURN_IF_ERROR(InheritCpuset(hierarchy, parent));
      ASSIGN_OR_RETURN(inherited, hierarchy.Read(parent + file));
    }
    RETURN_IF_ERROR(hierarchy.Write(path + file, absl::StripAsciiWhitespace(inherited)));
    filled = true;
  }
  return filled ? hierarchy.Write(path + "/cgroup.clone_children", "1") : absl::OkStatus();
}

// Enables for the children of `path` every controller that it has. One with processes of its
// own (the root of a container that we run in, a scope with its parked process) is left: domain
// controllers would be refused, and threaded ones (cpu, pids) would make its children unfit for
// processes. The node's root, which has no cgroup.type, may have both.
absl::Status EnableControllers(const CgroupHierarchy& hierarchy, const std::string& path) {
  ASSIGN_OR_RETURN(const std::string available, hierarchy.Read(path + "/cgroup.controllers"));
  ASSIGN_OR_RETURN(const std::string enabled, hierarchy.Read(path + "/cgroup.subtree_control"));
  const std::vector<std::string> have =
      absl::StrSplit(absl::StripAsciiWhitespace(enabled), ' ', absl::SkipEmpty());
  std::vector<std::string> missing =
      absl::StrSplit(absl::StripAsciiWhitespace(available), ' ', absl::SkipEmpty());
  std::erase_if(missing, [&](const std::string& name) { return Has(have, name); });
  if (missing.empty()) return absl::OkStatus();
  if (hierarchy.Exists(path + "/cgroup.type")) {
    ASSIGN_OR_RETURN(const std::string procs, hierarchy.Read(path + "/cgroup.procs"));
    if (!procs.empty()) return absl::OkStatus();
  }
  for (const std::string& name : missing) {
    absl::Status written =
        hierarchy.Write(path + "/cgroup.subtree_control", absl::StrCat("+", name));
    // A process came meanwhile: what the cgroup has must do.
    if (!written.ok() && !absl::StrContains(written.message(), "busy")) return written;
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status Cgroups::CreateIn(const Hierarchy& hierarchy, const std::string& path,
                               Existing existing) const {
  const bool cpuset = !hierarchy.unified && Has(hierarchy.controllers, "cpuset");
  absl::StatusOr<bool> made = hierarchy.Make(path);
  if (absl::IsNotFound(made.status())) {
    RETURN_IF_ERROR(CreateIn(hierarchy, path.substr(0, path.rfind('/'))));
    made = hierarchy.Make(path);
    RETURN_IF_ERROR(made.status());
  } else if (made.ok() && !*made) {
    if (existing == Existing::kRefuse)
      return absl::AlreadyExistsError(
          absl::StrCat("mkdir ", hierarchy.NameOf(path), ": it is there already"));
    return cpuset ? InheritCpuset(hierarchy, path) : absl::OkStatus();
  }
  RETURN_IF_ERROR(made.status());
  if (cpuset) RETURN_IF_ERROR(InheritCpuset(hierarchy, path));
  return hierarchy.unified ? GetControllers(hierarchy, path) : absl::OkStatus();
}

absl::Status Cgroups::GetControllers(const Hierarchy& hierarchy, const std::string& path) const {
  ASSIGN_OR_RETURN(const std::string text, hierarchy.Read(path + "/cgroup.controllers"));
  const std::vector<std::string> have =
      absl::StrSplit(absl::StripAsciiWhitespace(text), ' ', absl::SkipEmpty());
  if (std::all_of(hierarchy.controllers.begin(), hierarchy.controllers.end(),
                  [&](const std::string& name) { return Has(have, name); }))
    return absl::OkStatus();
  if (path.empty()) return absl::OkStatus();
  const std::string parent = path.substr(0, path.rfind('/'));
  RETURN_IF_ERROR(GetControllers(hierarchy, parent));
  return EnableControllers(hierarchy, parent);
}

absl::Status Cgroups::CreateForChildren(const Hierarchy& hierarchy, const std::string& path) const {
  if (hierarchy.controllers.empty()) return CreateIn(hierarchy, path);
  // One that is new has no processes, and most parents hand on all that there is.
  const std::string all = absl::StrCat("+", absl::StrJoin(hierarchy.controllers, " +"));
  if (hierarchy.Make(path).value_or(false) &&
      hierarchy.Write(path + "/cgroup.subtree_control", all).ok())
    return absl::OkStatus();
  RETURN_IF_ERROR(CreateIn(hierarchy, path));
  return EnableControllers(hierarchy, path);
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
      ASSIGN_OR_RETURN(handle.directory, hierarchy.OpenDir(path));
      handle.unified = true;
    } else {
      ASSIGN_OR_RETURN(UniqueFd tasks, hierarchy.OpenFile(path + "/tasks", O_WRONLY));
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
    if (hierarchy.unified) {
      ASSIGN_OR_RETURN(handle.directory, hierarchy.OpenDir(path));
      handle.unified = true;
    } else {
      absl::StatusOr<UniqueFd> tasks = hierarchy.OpenFile(path + "/tasks", O_WRONLY);
      if (tasks.ok()) {
        handle.tasks.push_back(*std::move(tasks));
      } else if (!absl::IsNotFound(tasks.status())) {
        return tasks.status();
      }
    }
  }
  if (part == Part::kCgroup2) return handle;
  if (!handle.directory.valid() && part == Part::kAll) {
    const Hierarchy* pids = Find("pids");
    if (pids == nullptr) return absl::FailedPreconditionError("there is neither cgroup2 nor pids");
    ASSIGN_OR_RETURN(handle.directory, pids->OpenDir(path));
  }
  if (const Hierarchy* memory = Find("memory"); memory != nullptr) {
    absl::StatusOr<UniqueFd> directory = memory->OpenDir(path);
    if (!directory.ok() && !absl::IsNotFound(directory.status())) return directory.status();
    if (directory.ok()) handle.memory = *std::move(directory);
  }
  return handle;
}

absl::StatusOr<std::vector<UniqueFd>> Cgroups::OpenViews(const std::string& path) const {
  std::vector<UniqueFd> views;
  for (const Hierarchy& hierarchy : hierarchies_) {
    if (hierarchy.unified) continue;
    ASSIGN_OR_RETURN(UniqueFd view, hierarchy.CloneTree(path));
    views.push_back(std::move(view));
  }
  return views;
}

void Cgroups::Kill(const std::string& path) const {
  if (!CheckPath(path).ok()) return;  // never all of the node
  for (const Hierarchy& hierarchy : hierarchies_) {
    if (!hierarchy.unified || !hierarchy.Write(path + "/cgroup.kill", "1").ok()) continue;
    if (mode_ == Mode::kV2) return;  // else a monitor is in v1 hierarchies alone
  }
  for (const Hierarchy& hierarchy : hierarchies_) hierarchy.Kill(path);
}

absl::Status Cgroups::Remove(const std::string& path) const {
  RETURN_IF_ERROR(CheckPath(path));
  absl::Status result;
  for (const Hierarchy& hierarchy : hierarchies_) result.Update(hierarchy.Remove(path));
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
