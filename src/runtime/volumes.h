// Host paths of bind mounts, opened by a disposable helper process with a deadline: a path on a
// dead NFS or FUSE file system blocks that helper, never the daemon.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "src/base/unique_fd.h"

namespace berth {

struct OpenedVolume {
  UniqueFd tree;  // detached recursive bind
  bool is_directory = true;
  // Of the mount that the path is on: is it in a peer group, does it receive from one?
  // (mount_namespaces(7))
  bool shared = false, slave = false;
  // Which of MOUNT_ATTR_RDONLY, _NOSUID, _NODEV and _NOEXEC that mount has (mount_setattr(2)).
  uint64_t attributes = 0;
};

struct VolumePath {
  std::string path;  // absolute
  // One that does not exist is made as a directory, with its missing parents (0755), unless a link
  // on the way leads nowhere.
  bool make = true;
};

// One result for each path, in order. NotFound names a path that is not there and was not made.
// DeadlineExceeded names the path that hangs.
absl::StatusOr<std::vector<OpenedVolume>> OpenVolumes(int monitor,
                                                      const std::vector<VolumePath>& paths,
                                                      absl::Duration timeout);

}  // namespace berth
