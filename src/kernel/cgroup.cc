#include "src/kernel/cgroup.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "src/base/status_macros.h"
#include "src/kernel/device_filter.h"
#include "src/kernel/file.h"

namespace berth {
namespace {

constexpr std::array kAccounting = {"memory", "cpu", "cpuacct", "pids"};
constexpr uint64_t kNoLimit = uint64_t{1} << 62;  // v1 shows "none" as a huge page-rounded number

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

// The number in a one-value file; "max" and v1's huge numbers are kNoLimit. 0 if there is no such
// file.
uint64_t ReadNumber(const std::string& file) {
  const absl::StatusOr<std::string> text = ReadFileAt(AT_FDCWD, file);
  uint64_t value = 0;
  if (!text.ok()) return 0;
  if (absl::StartsWith(*text, "max")) return kNoLimit;
  return absl::SimpleAtoi(absl::StripAsciiWhitespace(*text), &value) ? value : 0;
}

// "key value" lines.
std::map<std::string, uint64_t> ReadTable(const std::string& file) {
  std::map<std::string, uint64_t> table;
  const absl::StatusOr<std::string> text = ReadFileAt(AT_FDCWD, file);
  if (!text.ok()) return table;
  for (absl::string_view line : absl::StrSplit(*text, '\n', absl::SkipEmpty())) {
    const std::pair<absl::string_view, absl::string_view> pair =
        absl::StrSplit(line, absl::MaxSplits(' ', 1));
    uint64_t value;
    if (absl::SimpleAtoi(pair.second, &value)) table[std::string(pair.first)] = value;
  }
  return table;
}

bool Exists(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }

// A new v1 cpuset has no cpus and no mems and cannot be joined: it starts with its parent's.
absl::Status InheritCpuset(const std::string& directory) {
  const std::string parent = directory.substr(0, directory.rfind('/'));
  for (const char* file : {"/cpuset.cpus", "/cpuset.mems"}) {
    ASSIGN_OR_RETURN(const std::string own, ReadFileAt(AT_FDCWD, directory + file));
    if (own.find_first_not_of(" \n") != std::string::npos) continue;
    // A parent that somebody died on before it was filled (the root always has all) is filled first.
    ASSIGN_OR_RETURN(std::string inherited, ReadFileAt(AT_FDCWD, parent + file));
    if (inherited.find_first_not_of(" \n") == std::string::npos) {
      RETURN_IF_ERROR(InheritCpuset(parent));
      ASSIGN_OR_RETURN(inherited, ReadFileAt(AT_FDCWD, parent + file));
    }
    RETURN_IF_ERROR(WriteFileAt(AT_FDCWD, directory + file, absl::StripAsciiWhitespace(inherited)));
  }
  return absl::OkStatus();
}

// Enables for the children of `directory` every controller that it has.
absl::Status EnableControllers(const std::string& directory) {
  ASSIGN_OR_RETURN(const std::string available,
                   ReadFileAt(AT_FDCWD, directory + "/cgroup.controllers"));
  ASSIGN_OR_RETURN(const std::string enabled,
                   ReadFileAt(AT_FDCWD, directory + "/cgroup.subtree_control"));
  const std::vector<std::string> have =
      absl::StrSplit(absl::StripAsciiWhitespace(enabled), ' ', absl::SkipEmpty());
  for (absl::string_view name :
       absl::StrSplit(absl::StripAsciiWhitespace(available), ' ', absl::SkipEmpty())) {
    if (std::find(have.begin(), have.end(), name) != have.end()) continue;
    const absl::Status written =
        WriteFileAt(AT_FDCWD, directory + "/cgroup.subtree_control", absl::StrCat("+", name));
    // A cgroup with processes of its own (the root of a container that we run in) cannot: what it
    // has must do.
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

absl::Status RemoveBelow(const std::string& directory) {
  if (::rmdir(directory.c_str()) == 0 || errno == ENOENT) return absl::OkStatus();
  ASSIGN_OR_RETURN(const std::vector<std::string> entries, ListDir(AT_FDCWD, directory));
  for (const std::string& entry : entries) {
    struct stat info;
    const std::string child = absl::StrCat(directory, "/", entry);
    if (::lstat(child.c_str(), &info) == 0 && S_ISDIR(info.st_mode))
      RETURN_IF_ERROR(RemoveBelow(child));
  }
  if (::rmdir(directory.c_str()) == 0 || errno == ENOENT) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("rmdir ", directory, ": ", std::strerror(errno)));
}

struct Setting {
  const char* controller;
  std::string file, value;
};

}  // namespace

int64_t CpuWeightFromShares(int64_t shares) {
  if (shares <= 2) return 1;
  if (shares >= 262144) return 10000;
  const double log = std::log2(static_cast<double>(shares));
  return static_cast<int64_t>(
      std::ceil(std::pow(10, (log * log + 125 * log) / 612.0 - 7.0 / 34.0)));
}

absl::StatusOr<Cgroups> Cgroups::Detect() {
  ASSIGN_OR_RETURN(const std::string mountinfo,
                   ReadFileAt(AT_FDCWD, "/proc/self/mountinfo", 64 << 20));
  Cgroups found;
  bool v1 = false;
  for (absl::string_view line : absl::StrSplit(mountinfo, '\n', absl::SkipEmpty())) {
    const std::pair<absl::string_view, absl::string_view> halves =
        absl::StrSplit(line, absl::MaxSplits(" - ", 1));
    const std::vector<absl::string_view> left = absl::StrSplit(halves.first, ' ');
    const std::vector<absl::string_view> right = absl::StrSplit(halves.second, ' ');
    if (left.size() < 5 || right.size() < 3) continue;
    Hierarchy hierarchy{.mount_point = std::string(left[4])};
    if (right[0] == "cgroup2") {
      hierarchy.unified = true;
    } else if (right[0] == "cgroup") {
      for (absl::string_view option : absl::StrSplit(right[2], ',')) {
        const bool no_controller = option == "rw" || option == "ro" || option == "xattr" ||
                                   option == "clone_children" || option == "noprefix" ||
                                   option == "cpuset_v2_mode" ||
                                   absl::StartsWith(option, "release_agent=");
        if (!no_controller) hierarchy.controllers.emplace_back(option);
      }
      v1 = true;
    } else {
      continue;
    }
    const bool again = std::any_of(
        found.hierarchies_.begin(), found.hierarchies_.end(), [&](const Hierarchy& other) {
          return other.unified == hierarchy.unified && other.controllers == hierarchy.controllers;
        });
    if (!again) found.hierarchies_.push_back(std::move(hierarchy));
  }
  const bool v2 = std::any_of(found.hierarchies_.begin(), found.hierarchies_.end(),
                              [](const Hierarchy& hierarchy) { return hierarchy.unified; });
  if (!v1 && !v2) return absl::FailedPreconditionError("cgroups: no cgroup file system is mounted");
  found.mode_ = !v1 ? Mode::kV2 : v2 ? Mode::kHybrid : Mode::kV1;
  return found;
}

const Cgroups::Hierarchy* Cgroups::Find(absl::string_view controller) const {
  for (const Hierarchy& hierarchy : hierarchies_) {
    if (mode_ == Mode::kV2 && hierarchy.unified) return &hierarchy;
    if (std::find(hierarchy.controllers.begin(), hierarchy.controllers.end(), controller) !=
        hierarchy.controllers.end()) {
      return &hierarchy;
    }
  }
  return nullptr;
}

bool Cgroups::HasController(absl::string_view controller) const {
  if (mode_ != Mode::kV2) return Find(controller) != nullptr;
  const absl::StatusOr<std::string> list =
      ReadFileAt(AT_FDCWD, Find(controller)->mount_point + "/cgroup.controllers");
  if (!list.ok()) return false;
  const std::vector<absl::string_view> names =
      absl::StrSplit(absl::StripAsciiWhitespace(*list), ' ');
  return std::find(names.begin(), names.end(), controller) != names.end();
}

std::vector<std::string> Cgroups::V1Hierarchies() const {
  std::vector<std::string> options;
  for (const Hierarchy& hierarchy : hierarchies_) {
    if (!hierarchy.unified) options.push_back(absl::StrJoin(hierarchy.controllers, ","));
  }
  return options;
}

std::string Cgroups::PathOf(absl::string_view controller, const std::string& path) const {
  const Hierarchy* hierarchy = Find(controller);
  return hierarchy == nullptr ? "" : hierarchy->mount_point + path;
}

absl::Status Cgroups::CreateIn(const Hierarchy& hierarchy, const std::string& path) const {
  const std::string directory = hierarchy.mount_point + path;
  const bool cpuset = std::find(hierarchy.controllers.begin(), hierarchy.controllers.end(),
                                "cpuset") != hierarchy.controllers.end();
  const bool controllers = hierarchy.unified && mode_ == Mode::kV2;
  if (::mkdir(directory.c_str(), 0755) != 0) {
    if (errno == EEXIST) return cpuset ? InheritCpuset(directory) : absl::OkStatus();
    if (errno != ENOENT) return ErrnoStatus("mkdir", directory);
    RETURN_IF_ERROR(CreateIn(hierarchy, path.substr(0, path.rfind('/'))));
    if (::mkdir(directory.c_str(), 0755) != 0 && errno != EEXIST)
      return ErrnoStatus("mkdir", directory);
  }
  if (cpuset) RETURN_IF_ERROR(InheritCpuset(directory));
  if (controllers) {
    // From the root down to the parent; most are enabled already.
    for (size_t end = 0; end != std::string::npos && end < path.size();
         end = path.find('/', end + 1)) {
      RETURN_IF_ERROR(EnableControllers(hierarchy.mount_point + path.substr(0, end)));
    }
  }
  return absl::OkStatus();
}

absl::Status Cgroups::Create(const std::string& path) const {
  RETURN_IF_ERROR(CheckPath(path));
  for (const Hierarchy& hierarchy : hierarchies_) RETURN_IF_ERROR(CreateIn(hierarchy, path));
  return absl::OkStatus();
}

absl::Status Cgroups::CreateAccounting(const std::string& path) const {
  RETURN_IF_ERROR(CheckPath(path));
  for (const Hierarchy& hierarchy : hierarchies_) {
    const bool accounts =
        std::any_of(kAccounting.begin(), kAccounting.end(), [&](const char* name) {
          return std::find(hierarchy.controllers.begin(), hierarchy.controllers.end(), name) !=
                 hierarchy.controllers.end();
        });
    if (hierarchy.unified || accounts) RETURN_IF_ERROR(CreateIn(hierarchy, path));
  }
  return absl::OkStatus();
}

absl::Status Cgroups::SetLimits(const std::string& path, const CgroupLimits& limits) const {
  return mode_ == Mode::kV2 ? SetLimitsV2(path, limits) : SetLimitsV1(path, limits);
}

absl::Status Cgroups::SetLimitsV1(const std::string& path, const CgroupLimits& limits) const {
  if (!limits.unified.empty()) {
    return absl::InvalidArgumentError(
        "resources.unified: this node has cgroup v1; these are files of cgroup v2");
  }
  std::vector<Setting> settings;
  const auto add = [&](const char* controller, const char* file, const auto& value) {
    settings.push_back({controller, file, absl::StrCat(value)});
  };
  if (limits.cpu_shares) add("cpu", "cpu.shares", *limits.cpu_shares);
  if (limits.cpu_period_us) add("cpu", "cpu.cfs_period_us", *limits.cpu_period_us);
  if (limits.cpu_quota_us) add("cpu", "cpu.cfs_quota_us", *limits.cpu_quota_us);
  if (!limits.cpuset_cpus.empty()) add("cpuset", "cpuset.cpus", limits.cpuset_cpus);
  if (!limits.cpuset_mems.empty()) add("cpuset", "cpuset.mems", limits.cpuset_mems);
  if (limits.pids) add("pids", "pids.max", *limits.pids < 0 ? "max" : absl::StrCat(*limits.pids));
  for (const auto& [size, bytes] : limits.hugepages) {
    add("hugetlb", absl::StrCat("hugetlb.", size, ".limit_in_bytes").c_str(), bytes);
  }
  for (const Setting& setting : settings) {
    const std::string directory = PathOf(setting.controller, path);
    if (directory.empty()) {
      if (absl::string_view(setting.controller) == "hugetlb") continue;
      return absl::FailedPreconditionError(
          absl::StrCat("set ", setting.file, ": no cgroup controller ", setting.controller));
    }
    RETURN_IF_ERROR(
        WriteFileAt(AT_FDCWD, absl::StrCat(directory, "/", setting.file), setting.value));
  }
  if (!limits.memory_bytes) return absl::OkStatus();
  // memory <= memsw must hold at each moment: raise memsw first, lower it last.
  const std::string memory = PathOf("memory", path);
  const std::string limit_file = memory + "/memory.limit_in_bytes",
                    swap_file = memory + "/memory.memsw.limit_in_bytes";
  const std::string limit = absl::StrCat(*limits.memory_bytes);
  if (!Exists(swap_file)) return WriteFileAt(AT_FDCWD, limit_file, limit);
  const std::string swap = absl::StrCat(limits.memory_swap_bytes.value_or(*limits.memory_bytes));
  const bool raising = static_cast<uint64_t>(*limits.memory_bytes) > ReadNumber(swap_file);
  RETURN_IF_ERROR(WriteFileAt(AT_FDCWD, raising ? swap_file : limit_file, raising ? swap : limit));
  return WriteFileAt(AT_FDCWD, raising ? limit_file : swap_file, raising ? limit : swap);
}

absl::Status Cgroups::SetLimitsV2(const std::string& path, const CgroupLimits& limits) const {
  const std::string directory = PathOf("", path);
  std::map<std::string, std::string> files;
  if (limits.cpu_shares)
    files["cpu.weight"] = absl::StrCat(CpuWeightFromShares(*limits.cpu_shares));
  if (limits.cpu_quota_us || limits.cpu_period_us) {
    const int64_t quota = limits.cpu_quota_us.value_or(-1);
    files["cpu.max"] = absl::StrCat(quota > 0 ? absl::StrCat(quota) : "max", " ",
                                    limits.cpu_period_us.value_or(100000));
  }
  if (!limits.cpuset_cpus.empty()) files["cpuset.cpus"] = limits.cpuset_cpus;
  if (!limits.cpuset_mems.empty()) files["cpuset.mems"] = limits.cpuset_mems;
  if (limits.pids) files["pids.max"] = *limits.pids < 0 ? "max" : absl::StrCat(*limits.pids);
  if (limits.memory_bytes) {
    files["memory.max"] = absl::StrCat(*limits.memory_bytes);
    const int64_t total = limits.memory_swap_bytes.value_or(*limits.memory_bytes);
    if (total >= 0 && total < *limits.memory_bytes) {
      return absl::InvalidArgumentError(
          "memory_swap_limit_in_bytes: less than memory_limit_in_bytes, which it includes");
    }
    if (Exists(directory + "/memory.swap.max")) {
      files["memory.swap.max"] = total < 0 ? "max" : absl::StrCat(total - *limits.memory_bytes);
    }
  }
  for (const auto& [size, bytes] : limits.hugepages) {
    const std::string file = absl::StrCat("hugetlb.", size, ".max");
    if (Exists(absl::StrCat(directory, "/", file))) files[file] = absl::StrCat(bytes);
  }
  for (const auto& [file, value] : limits.unified) {
    if (file.find('/') != std::string::npos || file.find("..") != std::string::npos ||
        absl::StartsWith(file, "cgroup.")) {
      return absl::InvalidArgumentError(
          absl::StrCat("resources.unified: \"", file, "\" is not the name of a limit"));
    }
    files[file] = value;
  }
  for (const auto& [file, value] : files) {
    RETURN_IF_ERROR(WriteFileAt(AT_FDCWD, absl::StrCat(directory, "/", file), value));
  }
  return absl::OkStatus();
}

absl::Status Cgroups::RestrictDevices(const std::string& path) const {
  if (mode_ == Mode::kV2) {
    ASSIGN_OR_RETURN(const UniqueFd directory, OpenDir(AT_FDCWD, PathOf("", path)));
    return AttachDefaultDeviceFilter(directory.get());
  }
  const std::string directory = PathOf("devices", path);
  if (directory.empty()) return absl::OkStatus();
  RETURN_IF_ERROR(WriteFileAt(AT_FDCWD, directory + "/devices.deny", "a"));
  ASSIGN_OR_RETURN(const UniqueFd allow,
                   OpenFile(AT_FDCWD, directory + "/devices.allow", O_WRONLY));
  std::vector<std::string> rules = {"c *:* m", "b *:* m"};
  for (const DeviceRule& rule : kDefaultDevices) {
    rules.push_back(absl::StrCat(std::string(1, rule.type), " ", rule.major, ":",
                                 rule.minor < 0 ? "*" : absl::StrCat(rule.minor), " rwm"));
  }
  for (const std::string& rule : rules) {
    if (::write(allow.get(), rule.data(), rule.size()) < 0)
      return ErrnoStatus(absl::StrCat("allow ", rule, " in"), directory);
  }
  return absl::OkStatus();
}

absl::StatusOr<CgroupHandle> Cgroups::Open(const std::string& path) const {
  CgroupHandle handle;
  for (const Hierarchy& hierarchy : hierarchies_) {
    const std::string directory = hierarchy.mount_point + path;
    if (hierarchy.unified) {
      ASSIGN_OR_RETURN(handle.directory, OpenDir(AT_FDCWD, directory));
      handle.unified = true;
    } else if (Exists(directory)) {
      ASSIGN_OR_RETURN(UniqueFd tasks, OpenFile(AT_FDCWD, directory + "/tasks", O_WRONLY));
      handle.tasks.push_back(std::move(tasks));
    }
  }
  if (!handle.directory.valid()) {
    ASSIGN_OR_RETURN(handle.directory, OpenDir(AT_FDCWD, PathOf("pids", path)));
  }
  if (const std::string memory = PathOf("memory", path); !memory.empty() && Exists(memory)) {
    ASSIGN_OR_RETURN(handle.memory, OpenDir(AT_FDCWD, memory));
  }
  return handle;
}

absl::StatusOr<CgroupUsage> Cgroups::Read(const std::string& path) const {
  return mode_ == Mode::kV2 ? ReadV2(path) : ReadV1(path);
}

absl::StatusOr<CgroupUsage> Cgroups::ReadV1(const std::string& path) const {
  const std::string memory = PathOf("memory", path);
  if (!Exists(memory))
    return absl::NotFoundError(absl::StrCat("cgroup ", path, ": does not exist"));
  CgroupUsage usage;
  usage.cpu_ns = ReadNumber(PathOf("cpuacct", path) + "/cpuacct.usage");
  usage.memory_bytes = ReadNumber(memory + "/memory.usage_in_bytes");
  std::map<std::string, uint64_t> stat = ReadTable(memory + "/memory.stat");
  usage.memory_inactive_file = stat["total_inactive_file"];
  usage.memory_rss = stat["total_rss"];
  usage.page_faults = stat["total_pgfault"];
  usage.major_page_faults = stat["total_pgmajfault"];
  if (const uint64_t limit = ReadNumber(memory + "/memory.limit_in_bytes"); limit < kNoLimit)
    usage.memory_limit = limit;
  if (Exists(memory + "/memory.memsw.usage_in_bytes")) {
    const uint64_t both = ReadNumber(memory + "/memory.memsw.usage_in_bytes");
    usage.swap_bytes = both > usage.memory_bytes ? both - usage.memory_bytes : 0;
  }
  usage.pids = ReadNumber(PathOf("pids", path) + "/pids.current");
  return usage;
}

absl::StatusOr<CgroupUsage> Cgroups::ReadV2(const std::string& path) const {
  const std::string directory = PathOf("", path);
  if (!Exists(directory))
    return absl::NotFoundError(absl::StrCat("cgroup ", path, ": does not exist"));
  CgroupUsage usage;
  usage.cpu_ns = ReadTable(directory + "/cpu.stat")["usage_usec"] * 1000;
  usage.memory_bytes = ReadNumber(directory + "/memory.current");
  std::map<std::string, uint64_t> stat = ReadTable(directory + "/memory.stat");
  usage.memory_inactive_file = stat["inactive_file"];
  usage.memory_rss = stat["anon"];
  usage.page_faults = stat["pgfault"];
  usage.major_page_faults = stat["pgmajfault"];
  if (const uint64_t limit = ReadNumber(directory + "/memory.max"); limit != 0 && limit < kNoLimit)
    usage.memory_limit = limit;
  if (Exists(directory + "/memory.swap.current"))
    usage.swap_bytes = ReadNumber(directory + "/memory.swap.current");
  usage.pids = ReadNumber(directory + "/pids.current");
  return usage;
}

void Cgroups::Kill(const std::string& path) const {
  if (!CheckPath(path).ok()) return;  // never all of the node
  for (const Hierarchy& hierarchy : hierarchies_) {
    const std::string directory = hierarchy.mount_point + path;
    if (hierarchy.unified && WriteFileAt(AT_FDCWD, directory + "/cgroup.kill", "1").ok()) return;
  }
  for (const Hierarchy& hierarchy : hierarchies_) {
    const std::string directory = hierarchy.mount_point + path;
    const absl::StatusOr<std::vector<std::string>> entries = ListDir(AT_FDCWD, directory);
    if (!entries.ok()) continue;
    KillProcs(directory);
    for (const std::string& entry : *entries) KillProcs(absl::StrCat(directory, "/", entry));
  }
}

absl::Status Cgroups::Remove(const std::string& path) const {
  RETURN_IF_ERROR(CheckPath(path));
  absl::Status result;
  for (const Hierarchy& hierarchy : hierarchies_)
    result.Update(RemoveBelow(hierarchy.mount_point + path));
  return result;
}

}  // namespace berth
