// What the kernel tells of a cgroup's use of CPU, memory, disks and processes, and the parsers of
// those files. A value that this kernel or this cgroup version does not tell is unset, never 0.
// Pure. Files: admin-guide/cgroup-v2.rst and cgroup-v1/*.rst, accounting/psi.rst.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"

namespace berth {

// One line of a pressure file: percent of the last 10, 60 and 300 s, and all stalled time.
struct Pressure {
  double avg10 = 0, avg60 = 0, avg300 = 0;
  uint64_t total_us = 0;
};
struct PressureStall {
  Pressure some;                 // at least one task waited
  std::optional<Pressure> full;  // all waited
};

// What is read at each sample.
struct CgroupUsage {
  std::optional<uint64_t> cpu_ns;
  std::optional<uint64_t> memory_bytes, memory_inactive_file, memory_rss, page_faults,
      major_page_faults;
  std::optional<uint64_t> memory_cache, memory_mapped_file;
  std::optional<uint64_t> memory_limit;            // unset: none
  std::optional<uint64_t> swap_bytes, swap_limit;  // swap_limit unset: none
  std::optional<uint64_t> pids;
  std::optional<PressureStall> cpu_pressure, memory_pressure, io_pressure;

  // memory_bytes without the page cache that nobody has used lately.
  std::optional<uint64_t> WorkingSet() const;
};

struct BlockIo {
  uint32_t major = 0, minor = 0;
  std::string device;  // "/dev/vda", where it has a name
  uint64_t read_bytes = 0, write_bytes = 0, reads = 0, writes = 0;
};

// What is read when somebody asks for all.
struct CgroupDetails {
  std::optional<uint64_t> user_ns, system_ns;
  std::optional<uint64_t> cfs_periods, cfs_throttled_periods, cfs_throttled_ns;
  std::optional<uint64_t> memory_peak, memory_kernel, memory_limit_hits, oom_kills;
  std::optional<uint64_t> pids_limit;  // unset: none
  std::optional<std::vector<BlockIo>> block_io;
  struct HugePages {
    uint64_t usage = 0;
    std::optional<uint64_t> peak;
  };
  std::map<std::string, HugePages> huge_pages;  // by page size, "2MB"
};

// Shows each "key value" line; others are passed over.
void ForEachKeyed(absl::string_view text,
                  absl::FunctionRef<void(absl::string_view key, uint64_t value)> visit);

// The number of a one-value file; "max" and v1's "no limit" are UINT64_MAX. nullopt: no number.
std::optional<uint64_t> ParseCgroupNumber(absl::string_view text);

// nullopt for text that has no "some" line.
std::optional<PressureStall> ParsePressure(absl::string_view text);

// io.stat of v2.
std::vector<BlockIo> ParseIoStat(absl::string_view text);
// blkio.throttle.io_service_bytes_recursive and io_serviced_recursive of v1.
std::vector<BlockIo> ParseBlkio(absl::string_view service_bytes, absl::string_view serviced);

// memory.stat and cpu.stat into what they hold.
void ReadMemoryStatV1(absl::string_view text, CgroupUsage* usage);
void ReadMemoryStatV2(absl::string_view text, CgroupUsage* usage);
void ReadCpuStatV1(absl::string_view text, CgroupDetails* details);
void ReadCpuStatV2(absl::string_view text, CgroupUsage* usage, CgroupDetails* details);

}  // namespace berth
