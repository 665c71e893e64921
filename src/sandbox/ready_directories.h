// Directories of pods and containers that are made before they are asked for. A new inode costs
// ext4 up to half a millisecond on a node where pods come and go: it steps over each one that was
// deleted within the last minutes (fs/ext4/ialloc.c, recently_deleted). Thread-safe.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "src/base/ready_pool.h"

namespace berth {

// Has ext4 make each directory in `path` in another of the disk's block groups, and what is made in
// it there (chattr(1), T): otherwise all of them, and all that were deleted lately, are in one.
// Other file systems have no such attribute, and are left as they are.
void SpreadOverBlockGroups(const std::string& path);

class ReadyDirectories {
 public:
  enum class Kind {
    kPod,        // with empty files hosts, hostname, resolv.conf
    kContainer,  // with empty directories upper and work
  };

  // As many are ready of each kind in quiet moments. A pod's and its container's are nine inodes
  // and 16 KiB of the disk.
  static constexpr size_t kReady = 64;

  // Keeps them in `root`, which is emptied first: what an earlier one left belongs to
  // nobody. ResourceExhausted when there is no thread to be had.
  static absl::StatusOr<std::unique_ptr<ReadyDirectories>> Start(std::string root);

  // Moves a ready one to `path`, or makes one there when none is ready. `path` must not exist, and
  // be on the file system of the root. 0700, and all in it has the modes it is used with.
  absl::Status Take(Kind kind, const std::string& path);

 private:
  using Pool = ReadyPool<std::string>;  // of paths

  ReadyDirectories(std::unique_ptr<Pool> pods, std::unique_ptr<Pool> containers)
      : pods_(std::move(pods)), containers_(std::move(containers)) {}

  const std::unique_ptr<Pool> pods_, containers_;
};

}  // namespace berth
