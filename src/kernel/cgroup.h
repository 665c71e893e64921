// Cgroup directories of pods and containers: made, limited, read, removed, on cgroup v1 (with or
// without a cgroup2 mount beside it) and v2. Thread-safe: an object only holds the
// hierarchies' roots. No pid is ever written to cgroup.procs (that write stalls every fork of
// the node for an RCU grace period): processes join by CLONE_INTO_CGROUP (v2) or by writing "0" to
// `tasks` themselves (v1). cgroups(7).
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "src/base/unique_fd.h"
#include "src/kernel/cgroup_hierarchy.h"
#include "src/kernel/cgroup_limits.h"
#include "src/kernel/cgroup_reader.h"
#include "src/kernel/cgroup_stats.h"
#include "src/kernel/device_filter.h"

namespace berth {

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
  };  // kHybrid: v1 controllers and a cgroup2 mount, which has those that v1 has not

  // Reads /proc/self/mountinfo. FailedPrecondition without a usable hierarchy.
  static absl::StatusOr<Cgroups> Detect();

  Mode mode() const { return mode_; }
  bool HasController(absl::string_view controller) const;
  // Mount options of the v1 hierarchies: "cpu,cpuacct", "name=systemd".
  std::vector<std::string> V1Hierarchies() const;
  // Mount options of cgroup2, one a line: "nsdelegate\nmemory_recursiveprot". Who mounts it once
  // more in the node's cgroup namespace sets them for the whole node (cgroup_get_tree,
  // kernel/cgroup).
  std::string UnifiedOptions() const;

  // `path` is absolute below each hierarchy ("/kubepods/pod1/<id>"); components "." and ".." are
  // refused. Makes it and its missing parents, ready to be joined. Those that exist are left as
  // they are.
  absl::Status Create(const std::string& path) const;
  // With kHybrid a process may be cloned into a cgroup's cgroup2 part while the rest is made, which
  // it joins later.
  enum class Part { kAll, kCgroup2, kV1 };
  // The same, but AlreadyExists if it is there in any hierarchy; what was made before stays.
  absl::Status CreateNew(const std::string& path, Part part = Part::kAll) const;
  // Where the monitor of the pod at `pod` runs: in the hierarchies that account memory, CPU and
  // pids, and where systemd counts a scope's processes. In v1 that is the pod's own cgroup, in
  // cgroup2 a leaf of it, because there what has cgroups below it has no processes ("no internal
  // processes", cgroups(7)). The handle has no more than what it takes to enter.
  absl::StatusOr<CgroupHandle> CreateForMonitor(const std::string& pod) const;
  // The monitor of the pod at `pod` is to be cloned into a cgroup2 directory of that handle: what
  // runs elsewhere does not get there cheaply. Otherwise it joins by itself.
  bool ClonesMonitors(const std::string& pod) const;
  // The same in one hierarchy, cgroup2 where there is one: for what is to be ended together, and is
  // accounted to whoever starts it.
  absl::Status CreateTracking(const std::string& path) const;
  // For a cgroup that is not in use yet: what was written before an error stays.
  absl::Status SetLimits(const std::string& path, const CgroupLimits& limits) const;
  // For one in use: goes from the limits `from` to the limits `to`, both complete, and writes only
  // what differs. What `from` has and `to` has not is lifted (a file of `unified` is left). All or
  // nothing: on an error what was written is put back; the error names file, value and cause. A
  // memory limit below what is in use and cannot be reclaimed is FailedPrecondition, and kills
  // nobody. One call at a time for a cgroup.
  absl::Status UpdateLimits(const std::string& path, const CgroupLimits& from,
                            const CgroupLimits& to) const;
  // Nothing but the usual pseudo devices may be used (see MakeDevicePolicy, device_filter.h);
  // mknod(2) stays allowed. `more` comes behind those, in order; {allow, 'a'} lifts the
  // restriction. Called again it replaces the rules: on v2 in one step, on v1 there is a moment in
  // which nothing may be opened. Without a devices controller (v1) there is no restriction.
  absl::Status RestrictDevices(const std::string& path,
                               const std::vector<DeviceRule>& more = {}) const;
  absl::StatusOr<CgroupHandle> Open(const std::string& path, Part part = Part::kAll) const;
  // Detached clones of the mounts of the v1 hierarchies at `path`, in the order of V1Hierarchies():
  // what a process in `path` gets that mounts a hierarchy in a cgroup namespace of its own, without
  // the walk over all cgroups of the node that each such mount is (cgroup1_get_tree,
  // kernel/cgroup).
  absl::StatusOr<std::vector<UniqueFd>> OpenViews(const std::string& path) const;
  CgroupReader Reader(const std::string& path, CgroupReader::Keep keep) const;

  // SIGKILL to all below `path` (for what is left when no monitor is there to do it).
  void Kill(const std::string& path) const;
  // Removes `path` and what is below it, in all hierarchies. FailedPrecondition while it is
  // populated.
  absl::Status Remove(const std::string& path) const;
  // Both. What was killed leaves a moment later, but not from an uninterruptible wait: after
  // `patience` the error of Remove.
  absl::Status KillAndRemove(const std::string& path, absl::Duration patience) const;

 private:
  using Hierarchy = CgroupHierarchy;

  static bool IsIn(Part part, const Hierarchy& hierarchy);
  const Hierarchy* Find(absl::string_view controller) const;
  std::string PathOf(absl::string_view controller, const std::string& path) const;
  bool CountsMonitors(const Hierarchy& hierarchy, const std::string& pod) const;
  enum class Existing { kUse, kRefuse };
  absl::Status CreateIn(const Hierarchy& hierarchy, const std::string& path,
                        Existing existing = Existing::kUse) const;
  // In cgroup2, with all controllers for what will be below it.
  absl::Status CreateForChildren(const Hierarchy& hierarchy, const std::string& path) const;
  // Enables all that the hierarchy has for `path`: in its parent, and above that where it is
  // missing.
  absl::Status GetControllers(const Hierarchy& hierarchy, const std::string& path) const;
  // The writes for `limits` that this kernel has files for.
  absl::StatusOr<std::vector<CgroupWrite>> LimitWrites(const std::string& path,
                                                       const CgroupLimits& limits) const;
  absl::StatusOr<std::string> ReadValue(const CgroupWrite& file, const std::string& path) const;
  absl::Status WriteValue(const CgroupWrite& write, const std::string& path) const;
  void OrderWrites(const std::string& path, std::vector<CgroupWrite>* writes) const;
  absl::StatusOr<std::string> InheritedCpuset(const std::string& path, const char* file) const;

  Mode mode_ = Mode::kV1;
  std::vector<Hierarchy> hierarchies_;
};

}  // namespace berth
