#include "src/kernel/cgroup_limits.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "src/base/status_macros.h"

namespace berth {
namespace {

using Writes = std::vector<CgroupWrite>;

std::string OrMax(int64_t value) { return value < 0 ? "max" : absl::StrCat(value); }

// Memory and swap together as `limits` mean it: -1 unlimited, absent leaves.
absl::StatusOr<std::optional<int64_t>> MemoryAndSwap(const CgroupLimits& limits) {
  const std::optional<int64_t> memory = limits.memory_bytes, both = limits.memory_swap_bytes;
  if (!memory) return both == 0 ? std::nullopt : both;
  if (*memory < 0) {
    if (both.value_or(0) > 0) {
      return absl::InvalidArgumentError(
          "memory_swap_limit_in_bytes: cannot be limited while memory_limit_in_bytes is not");
    }
    return -1;
  }
  if (both.value_or(0) == 0) return memory;
  if (*both > 0 && *both < *memory) {
    return absl::InvalidArgumentError(
        "memory_swap_limit_in_bytes: less than memory_limit_in_bytes, which it includes");
  }
  return both;
}

absl::Status CheckUnifiedName(absl::string_view file) {
  if (absl::StrContains(file, '/') || absl::StrContains(file, "..") ||
      absl::StartsWith(file, "cgroup.") || !absl::StrContains(file, '.') ||
      file.find('\0') != absl::string_view::npos) {
    return absl::InvalidArgumentError(
        absl::StrCat("resources.unified: \"", file, "\" is not the name of a limit"));
  }
  return absl::OkStatus();
}

// Puts the files of `unified` in the place of those that `writes` has, or behind them.
absl::Status AddUnified(const CgroupLimits& limits, Writes* writes) {
  for (const auto& [file, value] : limits.unified) {
    RETURN_IF_ERROR(CheckUnifiedName(file));
    const std::string controller = file.substr(0, file.find('.'));
    bool placed = false;
    for (CgroupWrite& write : *writes) {
      if (write.file == file) {
        write.value = value;
        write.optional = false;
        placed = true;
      }
    }
    if (placed) continue;
    std::vector<std::string> lines = absl::StrSplit(value, '\n', absl::SkipWhitespace());
    if (lines.empty()) lines.push_back("\n");  // an empty cpuset
    for (std::string& line : lines)
      writes->push_back({.controller = controller, .file = file, .value = std::move(line)});
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Writes> CgroupWritesV1(const CgroupLimits& limits) {
  if (!limits.unified.empty()) {
    return absl::InvalidArgumentError(
        "resources.unified: this node has cgroup v1; these are files of cgroup v2");
  }
  Writes writes;
  const auto add = [&](const char* controller, std::string file, std::string value,
                       bool optional = false) {
    writes.push_back({controller, std::move(file), std::move(value), optional});
  };
  if (limits.cpu_shares) add("cpu", "cpu.shares", absl::StrCat(*limits.cpu_shares));
  if (limits.cpu_period_us) add("cpu", "cpu.cfs_period_us", absl::StrCat(*limits.cpu_period_us));
  if (limits.cpu_quota_us) {
    add("cpu", "cpu.cfs_quota_us",
        absl::StrCat(*limits.cpu_quota_us > 0 ? *limits.cpu_quota_us : -1));
  }
  if (!limits.cpuset_cpus.empty()) add("cpuset", "cpuset.cpus", limits.cpuset_cpus);
  if (!limits.cpuset_mems.empty()) add("cpuset", "cpuset.mems", limits.cpuset_mems);
  if (limits.pids) add("pids", "pids.max", OrMax(*limits.pids));
  if (limits.io_weight) {
    // BFQ's is the only weight that v1 has since Linux 5.0; it ends at 1000.
    add("blkio", "blkio.bfq.weight", absl::StrCat(std::min<int64_t>(*limits.io_weight, 1000)),
        /*optional=*/true);
  }
  for (const auto& [size, bytes] : limits.hugepages) {
    for (const char* kind : {"", "rsvd."}) {
      add("hugetlb", absl::StrCat("hugetlb.", size, ".", kind, "limit_in_bytes"),
          bytes == UINT64_MAX ? "-1" : absl::StrCat(bytes), /*optional=*/true);
    }
  }
  ASSIGN_OR_RETURN(const std::optional<int64_t> both, MemoryAndSwap(limits));
  if (limits.memory_bytes)
    add("memory", "memory.limit_in_bytes", absl::StrCat(*limits.memory_bytes));
  if (both) add("memory", "memory.memsw.limit_in_bytes", absl::StrCat(*both), /*optional=*/true);
  return writes;
}

absl::StatusOr<Writes> CgroupWritesV2(const CgroupLimits& limits) {
  Writes writes;
  const auto add = [&](const char* controller, std::string file, std::string value,
                       bool optional = false) {
    writes.push_back({controller, std::move(file), std::move(value), optional});
  };
  if (limits.cpu_shares)
    add("cpu", "cpu.weight", absl::StrCat(CpuWeightFromShares(*limits.cpu_shares)));
  if (limits.cpu_quota_us || limits.cpu_period_us) {
    const int64_t quota = limits.cpu_quota_us.value_or(-1);
    add("cpu", "cpu.max",
        absl::StrCat(quota > 0 ? absl::StrCat(quota) : "max", " ",
                     limits.cpu_period_us.value_or(100000)));
  }
  if (!limits.cpuset_cpus.empty()) add("cpuset", "cpuset.cpus", limits.cpuset_cpus);
  if (!limits.cpuset_mems.empty()) add("cpuset", "cpuset.mems", limits.cpuset_mems);
  if (limits.pids) add("pids", "pids.max", OrMax(*limits.pids));
  if (limits.io_weight) {  // blk-iocost's, and BFQ's, which ends at 1000
    add("io", "io.weight", absl::StrCat(*limits.io_weight), /*optional=*/true);
    add("io", "io.bfq.weight", absl::StrCat(std::min<int64_t>(*limits.io_weight, 1000)),
        /*optional=*/true);
  }
  for (const auto& [size, bytes] : limits.hugepages) {
    for (const char* kind : {"", "rsvd."}) {
      add("hugetlb", absl::StrCat("hugetlb.", size, ".", kind, "max"),
          bytes == UINT64_MAX ? "max" : absl::StrCat(bytes), /*optional=*/true);
    }
  }
  ASSIGN_OR_RETURN(const std::optional<int64_t> both, MemoryAndSwap(limits));
  if (limits.memory_bytes) add("memory", "memory.max", OrMax(*limits.memory_bytes));
  if (both && *both > 0 && !limits.memory_bytes) {
    return absl::InvalidArgumentError(
        "memory_swap_limit_in_bytes: needs memory_limit_in_bytes, which it includes");
  }
  if (both) {
    add("memory", "memory.swap.max", *both < 0 ? "max" : absl::StrCat(*both - *limits.memory_bytes),
        /*optional=*/true);
  }
  RETURN_IF_ERROR(AddUnified(limits, &writes));
  return writes;
}

CgroupLimits OverriddenLimits(CgroupLimits limits, const CgroupLimits& changes) {
  const auto take = [](const auto& change, auto* limit) {
    if (change) *limit = change;
  };
  take(changes.memory_bytes, &limits.memory_bytes);
  take(changes.memory_swap_bytes, &limits.memory_swap_bytes);
  take(changes.cpu_shares, &limits.cpu_shares);
  take(changes.cpu_quota_us, &limits.cpu_quota_us);
  take(changes.cpu_period_us, &limits.cpu_period_us);
  take(changes.pids, &limits.pids);
  take(changes.io_weight, &limits.io_weight);
  if (!changes.cpuset_cpus.empty()) limits.cpuset_cpus = changes.cpuset_cpus;
  if (!changes.cpuset_mems.empty()) limits.cpuset_mems = changes.cpuset_mems;
  for (const auto& [size, bytes] : changes.hugepages) limits.hugepages[size] = bytes;
  for (const auto& [file, value] : changes.unified) limits.unified[file] = value;
  return limits;
}

CgroupLimits LiftedLimits(const CgroupLimits& from, CgroupLimits to) {
  const auto lift = [](const auto& before, auto* after, int64_t none) {
    if (before && !*after) *after = none;
  };
  lift(from.memory_bytes, &to.memory_bytes, -1);
  if (!to.memory_bytes) lift(from.memory_swap_bytes, &to.memory_swap_bytes, -1);
  lift(from.cpu_shares, &to.cpu_shares, 1024);
  lift(from.cpu_quota_us, &to.cpu_quota_us, -1);
  lift(from.cpu_period_us, &to.cpu_period_us, 100000);
  lift(from.pids, &to.pids, -1);
  lift(from.io_weight, &to.io_weight, 100);
  for (const auto& [size, bytes] : from.hugepages) to.hugepages.emplace(size, UINT64_MAX);
  return to;
}

uint64_t CgroupNumber(const std::string& value) {
  constexpr uint64_t kNoLimit = uint64_t{1} << 62;  // v1 shows "none" as a page-rounded 2^63
  const absl::string_view text = absl::StripAsciiWhitespace(value);
  uint64_t number = 0;
  if (!absl::SimpleAtoi(text, &number)) return UINT64_MAX;  // "max", "-1"
  return number >= kNoLimit ? UINT64_MAX : number;
}

int64_t CpuWeightFromShares(int64_t shares) {
  if (shares <= 2) return 1;
  if (shares >= 262144) return 10000;
  const double log = std::log2(static_cast<double>(shares));
  return static_cast<int64_t>(
      std::ceil(std::pow(10, (log * log + 125 * log) / 612.0 - 7.0 / 34.0)));
}

}  // namespace berth
