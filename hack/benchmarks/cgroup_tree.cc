#include "hack/benchmarks/cgroup_tree.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <iterator>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "hack/benchmarks/process_table.h"
#include "src/base/status_macros.h"

namespace berth::bench {
namespace {

// A v1 cpuset starts empty and takes no process until it has been given CPUs and memory nodes.
void InheritCpuset(const std::string& parent, const std::string& child) {
  for (const char* name : {"/cpuset.cpus", "/cpuset.mems"}) {
    if (::access(absl::StrCat(child, name).c_str(), W_OK) != 0) continue;
    std::ofstream(absl::StrCat(child, name)) << std::ifstream(absl::StrCat(parent, name)).rdbuf();
  }
}

absl::StatusOr<int64_t> ReadNumber(const std::string& path) {
  std::ifstream file(path);
  int64_t value = 0;
  if (file >> value) return value;
  return absl::NotFoundError(absl::StrCat("read ", path, ": no number there"));
}

// usage_usec of a v2 cpu.stat.
absl::StatusOr<int64_t> ReadUsageUsec(const std::string& path) {
  std::ifstream file(path);
  std::string key;
  for (int64_t value = 0; file >> key >> value;) {
    if (key == "usage_usec") return value;
  }
  return absl::NotFoundError(absl::StrCat("read ", path, ": no usage_usec there"));
}

}  // namespace

std::vector<std::string> CgroupMounts(const std::string& mounts) {
  std::vector<std::string> found;
  for (const absl::string_view line : absl::StrSplit(mounts, '\n')) {
    const std::vector<std::string> fields = absl::StrSplit(line, ' ');
    if (fields.size() > 2 && (fields[2] == "cgroup" || fields[2] == "cgroup2"))
      found.push_back(fields[1]);
  }
  return found;
}

absl::StatusOr<CgroupTree> CgroupTree::Create(const std::string& base) {
  if (!absl::StartsWith(base, "/") || base.size() < 2) {
    return absl::InvalidArgumentError(
        absl::StrCat("create cgroup ", base, ": want an absolute path"));
  }
  CgroupTree tree(base);
  for (const std::string& mount : CgroupMounts(ReadText("/proc/self/mounts"))) {
    std::string parent = mount;
    for (const absl::string_view part : absl::StrSplit(tree.pods(), '/', absl::SkipEmpty())) {
      const std::string path = absl::StrCat(parent, "/", part);
      if (::mkdir(path.c_str(), 0755) == 0) {
        tree.made_.push_back(path);
        InheritCpuset(parent, path);
      } else if (errno != EEXIST) {
        return ErrnoStatus("mkdir", path);
      }
      parent = path;
    }
  }
  return tree;
}

CgroupTree::~CgroupTree() {
  for (auto path = made_.rbegin(); path != made_.rend(); ++path) ::rmdir(path->c_str());
}

absl::StatusOr<absl::Duration> CgroupTree::CpuTime() const {
  const std::vector<std::string> mounts = CgroupMounts(ReadText("/proc/self/mounts"));
  for (const std::string& mount : mounts) {
    const absl::StatusOr<int64_t> nanoseconds =
        ReadNumber(absl::StrCat(mount, base_, "/cpuacct.usage"));
    if (nanoseconds.ok()) return absl::Nanoseconds(*nanoseconds);
  }
  for (const std::string& mount : mounts) {
    const absl::StatusOr<int64_t> microseconds =
        ReadUsageUsec(absl::StrCat(mount, base_, "/cpu.stat"));
    if (microseconds.ok()) return absl::Microseconds(*microseconds);
  }
  return absl::NotFoundError(
      absl::StrCat("read CPU time of ", base_, ": no hierarchy accounts it"));
}

bool CgroupTree::Holds(pid_t daemon) const { return InCgroup(daemon, base_); }

}  // namespace berth::bench
