// The cgroups that one runtime is measured in: BASE/daemon (the caller put the daemon there),
// BASE/pods (made here, as the kubelet makes its own) and whatever the runtime makes below BASE.
// Works on v1, hybrid and v2.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace berth::bench {

class CgroupTree {
 public:
  // Makes BASE/pods in every mounted hierarchy; `base` is absolute within a hierarchy:
  // "/berth-bench/berth".
  static absl::StatusOr<CgroupTree> Create(const std::string& base);

  CgroupTree(CgroupTree&& other) noexcept = default;
  CgroupTree& operator=(CgroupTree&&) = delete;
  // Removes what Create made, where nothing is left in it.
  ~CgroupTree();

  // The cgroup parent to give to pods.
  std::string pods() const { return base_ + "/pods"; }

  // CPU time of the daemon, its helpers and its pods since they began.
  absl::StatusOr<absl::Duration> CpuTime() const;
  // Whether that number covers the daemon too: false for one that was started elsewhere.
  bool Holds(pid_t daemon) const;

 private:
  explicit CgroupTree(std::string base) : base_(std::move(base)) {}

  const std::string base_;
  std::vector<std::string> made_;
};

// The mount points of all cgroup hierarchies, from the text of /proc/self/mounts.
std::vector<std::string> CgroupMounts(const std::string& mounts);

}  // namespace berth::bench
