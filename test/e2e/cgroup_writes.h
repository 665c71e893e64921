// Which files below the node's cgroups are written to, by whatever process, also by those that
// have no cgroup mount of their own: fanotify on all cgroup hierarchies. Move-only. fanotify(7).
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "src/base/unique_fd.h"

namespace berth::e2e {

class CgroupWrites {
 public:
  // Unavailable, with the reason, where the kernel has no fanotify.
  static absl::StatusOr<CgroupWrites> Watch();

  // Paths of the files below cgroups of this test process (NodeName()) that were written to since
  // the last call; several writes to one file may be told as one. What is gone by now is left out:
  // ask before cgroups are removed.
  absl::StatusOr<std::vector<std::string>> Take();

 private:
  explicit CgroupWrites(UniqueFd group) : group_(std::move(group)) {}

  UniqueFd group_;
};

}  // namespace berth::e2e
