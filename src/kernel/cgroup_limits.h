// The limits of a cgroup and what they come to as writes of files, in an order that the kernel
// takes. Pure, but for ApplyCgroupWrites. Files: admin-guide/cgroup-v2.rst and cgroup-v1/*.rst of
// the kernel's documentation.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace berth {

// Unset fields leave the file as it is. Values are in CRI terms (v1 style), converted for v2.
struct CgroupLimits {
  std::optional<int64_t> memory_bytes;  // -1 unlimited
  // Memory and swap together: -1 unlimited; absent or 0 with `memory_bytes`: no swap. Tolerated
  // where the kernel does not account swap.
  std::optional<int64_t> memory_swap_bytes;
  std::optional<int64_t> cpu_shares;    // 2..262144
  std::optional<int64_t> cpu_quota_us;  // -1 unlimited
  std::optional<int64_t> cpu_period_us;
  std::optional<int64_t> pids;  // -1 unlimited
  // 1..10000, 100 is what others have. Tolerated where no scheduler of the disks weighs.
  std::optional<int64_t> io_weight;
  std::string cpuset_cpus, cpuset_mems;  // list format, "" leaves
  // Page size ("2MB") -> bytes, 0 included, of the pages and of their reservations. Sizes that the
  // kernel does not have, and kernels without the controller, are tolerated.
  std::map<std::string, uint64_t> hugepages;
  // v2 file -> value; wins over the fields above. InvalidArgument on v1. More than one line is
  // written line by line (io.max takes one device at a time).
  std::map<std::string, std::string> unified;
};

// One value of one file.
struct CgroupWrite {
  std::string controller;  // "memory"; tells the directory on v1
  std::string file, value;
  bool optional = false;  // passed over where the kernel has no such file
};

// The writes for `limits`, in the order of first setting. InvalidArgument for what contradicts
// itself (swap below memory, swap without memory, `unified` on v1 or of names that are no limits).
absl::StatusOr<std::vector<CgroupWrite>> CgroupWritesV1(const CgroupLimits& limits);
absl::StatusOr<std::vector<CgroupWrite>> CgroupWritesV2(const CgroupLimits& limits);

// `limits` with what is set in `changes` in its place; hugepages and unified for each key.
CgroupLimits OverriddenLimits(CgroupLimits limits, const CgroupLimits& changes);

// `to` with every field that only `from` has as "no limit".
CgroupLimits LiftedLimits(const CgroupLimits& from, CgroupLimits to);

// The value of a limit file as a number: "max", -1 and v1's huge numbers are UINT64_MAX.
uint64_t CgroupNumber(const std::string& value);

// cpu.shares (2..262144) as cpu.weight (1..10000): 1024 is 100.
int64_t CpuWeightFromShares(int64_t shares);

}  // namespace berth
