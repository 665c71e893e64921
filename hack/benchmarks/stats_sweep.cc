#include "hack/benchmarks/stats_sweep.h"

#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include <array>
#include <filesystem>

#include "hack/benchmarks/cgroup_tree.h"
#include "hack/benchmarks/process_table.h"
#include "src/base/status_macros.h"

namespace berth::bench {
namespace {

namespace fs = std::filesystem;

// Of cgroup v1 and v2; a hierarchy has some of them.
constexpr const char* kFiles[] = {
    "cpuacct.usage",   "memory.usage_in_bytes",
    "memory.stat",     "memory.limit_in_bytes",
    "pids.current",    "memory.memsw.limit_in_bytes",
    "cpu.stat",        "memory.current",
    "memory.max",      "memory.swap.current",
    "memory.swap.max", "cpu.pressure",
    "memory.pressure", "io.pressure",
};

bool IsOfV1Cpu(const fs::path& container, const std::string& file) {
  return file == "cpu.stat" && !fs::exists(container / "cgroup.controllers");
}

absl::Duration ThreadCpuTime() {
  timespec now = {};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return absl::DurationFromTimespec(now);
}

}  // namespace

StatsSweep::StatsSweep(const std::string& pods) {
  std::error_code error;
  for (const std::string& mount : CgroupMounts(ReadText("/proc/self/mounts"))) {
    for (const fs::directory_entry& pod : fs::directory_iterator(mount + pods, error)) {
      if (!pod.is_directory()) continue;
      for (const fs::directory_entry& container : fs::directory_iterator(pod.path(), error)) {
        if (!container.is_directory() || container.path().filename() == "monitor") continue;
        for (const char* name : kFiles) {
          if (IsOfV1Cpu(container.path(), name)) continue;
          UniqueFd file(::open((container.path() / name).c_str(), O_RDONLY | O_CLOEXEC));
          if (file.valid()) files_.push_back(std::move(file));
        }
      }
    }
  }
}

absl::StatusOr<absl::Duration> StatsSweep::Read() const {
  std::array<char, 8192> content;
  const absl::Duration begin = ThreadCpuTime();
  for (const UniqueFd& file : files_) {
    if (::pread(file.get(), content.data(), content.size(), 0) < 0)
      return ErrnoStatus("read", "statistics of a cgroup");
  }
  return ThreadCpuTime() - begin;
}

}  // namespace berth::bench
