// What a helper process takes from itself before it reads a stranger's bytes. Each cannot be
// undone.
#pragma once

#include <sys/resource.h>

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "src/base/unique_fd.h"

namespace berth {

// A mount namespace of the process's own, none of whose mounts propagates.
absl::Status EnterOwnMounts();

// An empty tmpfs of at most `size` (as "8m"), attached nowhere yet, without devices, setuid files
// and programs.
absl::StatusOr<UniqueFd> DetachedTmpfs(const std::string& size);

// Attaches `mount` at `target` below `target_dir`.
absl::Status AttachMount(int mount, int target_dir, const char* target);

// Makes `root`, which is attached somewhere, the root directory, read-only; the old tree goes.
absl::Status PivotInto(int root);

// Drops every capability from the bounding set but `kept`. Needs CAP_SETPCAP.
absl::Status KeepBoundingSet(const std::vector<int>& kept);

// The same of all sets of the calling thread.
absl::Status KeepCapabilities(const std::vector<int>& kept);

struct ResourceLimit {
  __rlimit_resource resource;
  rlim_t limit;  // soft and hard
  const char* name;
};
absl::Status SetResourceLimits(const std::vector<ResourceLimit>& limits);

}  // namespace berth
