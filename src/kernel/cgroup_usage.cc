// Cgroups: what a cgroup's processes use.
#include <fcntl.h>
#include <unistd.h>

#include <cstdint>
#include <map>
#include <string>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "src/kernel/cgroup.h"
#include "src/kernel/file.h"

namespace berth {
namespace {

// The number in a one-value file; "none" is UINT64_MAX. 0 if there is no such file.
uint64_t ReadNumber(const std::string& file) {
  const absl::StatusOr<std::string> text = ReadFileAt(AT_FDCWD, file);
  return text.ok() ? CgroupNumber(*text) : 0;
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

}  // namespace

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
  if (const uint64_t limit = ReadNumber(memory + "/memory.limit_in_bytes"); limit != UINT64_MAX)
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
  if (const uint64_t limit = ReadNumber(directory + "/memory.max");
      limit != 0 && limit != UINT64_MAX)
    usage.memory_limit = limit;
  if (Exists(directory + "/memory.swap.current"))
    usage.swap_bytes = ReadNumber(directory + "/memory.swap.current");
  usage.pids = ReadNumber(directory + "/pids.current");
  return usage;
}

}  // namespace berth
