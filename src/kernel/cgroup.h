// Cgroup directories of pods and containers: made, limited, read, removed, on cgroup v1 (with or
// without a cgroup2 mount beside it) and v2. Thread-safe: an object only knows where the
// hierarchies are mounted. No pid is ever written to cgroup.procs (that write stalls every fork of
// the node for an RCU grace period): processes join by CLONE_INTO_CGROUP (v2) or by writing "0" to
// `tasks` themselves (v1). cgroups(7).
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "src/base/unique_fd.h"

namespace berth {

// Unset fields leave the file as it is. Values are in CRI terms (v1 style), converted for v2.
struct CgroupLimits {
  std::optional<int64_t> memory_bytes;
  std::optional<int64_t> memory_swap_bytes;  // memory + swap; -1 unlimited
  std::optional<int64_t> cpu_shares;         // 2..262144
  std::optional<int64_t> cpu_quota_us;       // -1 unlimited
  std::optional<int64_t> cpu_period_us;
  std::optional<int64_t> pids;
  std::string cpuset_cpus, cpuset_mems;  // list format, "" leaves
  std::map<std::string, uint64_t>
      hugepages;  // page size ("2MB") -> bytes; skipped without the controller
  std::map<std::string, std::string> unified;  // v2 file -> value; InvalidArgument on v1
};

struct CgroupUsage {
  uint64_t cpu_ns = 0;
  uint64_t memory_bytes = 0, memory_inactive_file = 0, memory_rss = 0, page_faults = 0,
           major_page_faults = 0;
  std::optional<uint64_t> memory_limit;  // absent: none
  std::optional<uint64_t> swap_bytes;
  uint64_t pids = 0;
};

// How a process enters a cgroup and how its end is seen, as descriptors for a monitor.
struct CgroupHandle {
  std::vector<UniqueFd> tasks;  // v1: one `tasks` file a hierarchy, O_WRONLY; v2: empty
  UniqueFd directory;           // the cgroup2 directory; on v1 without one: a v1 hierarchy's
  bool unified = false;         // `directory` is on a cgroup2 mount
  UniqueFd memory;              // the directory that has memory.events or memory.oom_control
};

class Cgroups {
 public:
  enum class Mode {
    kV1,
    kHybrid,
    kV2
  };  // kHybrid: v1 controllers and a cgroup2 mount without them

  // Reads /proc/self/mountinfo. FailedPrecondition without a usable hierarchy.
  static absl::StatusOr<Cgroups> Detect();

  Mode mode() const { return mode_; }
  bool HasController(absl::string_view controller) const;
  // Mount options of the v1 hierarchies: "cpu,cpuacct", "name=systemd".
  std::vector<std::string> V1Hierarchies() const;

  // `path` is absolute below each hierarchy ("/kubepods/pod1/<id>"); components "." and ".." are
  // refused. Makes it and its missing parents, ready to be joined. Those that exist are left as
  // they are.
  absl::Status Create(const std::string& path) const;
  // The same in the hierarchies that account memory, CPU and pids only (for a monitor's own leaf).
  absl::Status CreateAccounting(const std::string& path) const;
  absl::Status SetLimits(const std::string& path, const CgroupLimits& limits) const;
  // Nothing but the usual pseudo devices (null, zero, full, random, urandom, tty, ptmx, pts) may be
  // used; mknod(2) stays allowed. v1: devices.allow; v2: a BPF_PROG_TYPE_CGROUP_DEVICE program.
  absl::Status RestrictDevices(const std::string& path) const;
  absl::StatusOr<CgroupHandle> Open(const std::string& path) const;
  absl::StatusOr<CgroupUsage> Read(const std::string& path) const;

  // SIGKILL to all below `path` (for what is left when no monitor is there to do it).
  void Kill(const std::string& path) const;
  // Removes `path` and what is below it, in all hierarchies. FailedPrecondition while it is
  // populated.
  absl::Status Remove(const std::string& path) const;

 private:
  struct Hierarchy {
    std::string mount_point;
    std::vector<std::string> controllers;  // v1; the named hierarchy has "name=systemd"
    bool unified = false;
  };
  const Hierarchy* Find(absl::string_view controller) const;
  std::string PathOf(absl::string_view controller, const std::string& path) const;
  absl::Status CreateIn(const Hierarchy& hierarchy, const std::string& path) const;
  absl::Status SetLimitsV1(const std::string& path, const CgroupLimits& limits) const;
  absl::Status SetLimitsV2(const std::string& path, const CgroupLimits& limits) const;
  absl::StatusOr<CgroupUsage> ReadV1(const std::string& path) const;
  absl::StatusOr<CgroupUsage> ReadV2(const std::string& path) const;

  Mode mode_ = Mode::kV1;
  std::vector<Hierarchy> hierarchies_;
};

// cpu.shares (2..262144) as cpu.weight (1..10000): 1024 is 100.
int64_t CpuWeightFromShares(int64_t shares);

}  // namespace berth
